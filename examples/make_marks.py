"""Write examples/data/marks_zh.jsonl: 300 Chinese maintenance notes with marked spans, from templates, byte for byte.

Each note is put together from a template with places for 设备 (machine), 部件 (part), 故障 (fault), 时间 (time) and
地点 (place); where a span lies is known because it was put there. No text of a third party, no person, no site.
"""

import json
import random
import re
from pathlib import Path

OUT = Path(__file__).resolve().parent / "data" / "marks_zh.jsonl"
FILLS = {
    "设备": [
        "{n}号循环水泵", "{n}号空压机", "引风机", "{n}号皮带输送机", "立式加工中心", "液压站", "{n}号冷却塔",
        "注塑机IM-{n}", "码垛机器人", "柴油发电机", "{n}号行车", "真空泵VP-{n}", "数控车床", "污水提升泵",
        "锅炉给水泵",
    ],
    "部件": [
        "驱动端轴承", "机械密封", "联轴器弹性块", "出口阀门", "温度传感器", "V带", "主轴", "油封", "滤芯",
        "接触器KM{n}", "变频器", "减速箱", "冷却风扇", "叶轮", "限位开关", "压力表", "电缆接头",
    ],
    "故障": [
        "异响", "漏油", "温度过高", "振动超标", "卡死", "断裂", "堵塞", "信号丢失", "过载跳闸", "磨损严重",
        "渗水", "打滑", "松动", "绝缘下降", "压力不足", "误报警",
    ],
    "时间": [
        "{n}日夜班", "今早{h}点", "昨天下午", "{h}:30", "本周三", "3月{n}日", "凌晨{h}点左右", "上个月底",
        "交接班时", "连续两天",
    ],
    "地点": [
        "一车间", "原料仓库", "锅炉房", "{n}号泵房", "包装线东侧", "二楼配电室", "污水站", "老厂区南门",
        "装配线{n}工位", "屋顶平台",
    ],
}  # fmt: skip
TEMPLATES = [
    "{时间}{地点}的{设备}{部件}{故障}，已停机检查。", "{设备}{故障}，怀疑{部件}损坏，待备件到货。",
    "巡检发现{地点}{设备}{部件}处{故障}。", "{时间}更换{设备}{部件}后仍有{故障}",
    "{地点}：{设备}运行正常，无异常。", "操作工反映{时间}{设备}{故障}，重启后恢复",
    "{部件}{故障}，{部件}同时{故障}，建议一并更换。", "{设备}的{部件}已加注润滑脂，{故障}消失",
    "{时间}，{设备}因{故障}停了两个小时。", "请安排人员到{地点}处理{设备}{故障}问题",
    "{设备}{部件}{故障}（{地点}），夜间无人值守", "今天没有报修，记录为空。",
    "{时间}对{地点}全部{设备}做了保养，更换{部件}两只。", "{地点}{设备}报警，复位无效；查{部件}{故障}。",
    "{设备}启动电流偏大，{部件}{故障}，约{时间}开始", "客户要求下周来人看{设备}",
    "{故障}已排除：重新紧固{部件}。", "{时间}点检{设备}，{部件}有轻微{故障}，继续观察 OK",
]  # fmt: skip
ROWS, SEED = 300, 20
HELD = re.compile(r"\{([^{}]+)\}")


def note(generator: random.Random) -> dict[str, object]:
    """A text and its spans, in characters."""
    text, spans, at = "", [], 0
    template = generator.choice(TEMPLATES)
    for held in HELD.finditer(template):
        text += template[at : held.start()]
        fill = generator.choice(FILLS[held[1]]).format(n=generator.randint(1, 12), h=generator.randint(1, 11))
        spans.append({"start": len(text), "end": len(text) + len(fill), "label": held[1]})
        text, at = text + fill, held.end()
    return {"text": text + template[at:], "spans": spans}


def main() -> None:
    """Write the file, every text once."""
    generator, seen, lines = random.Random(SEED), set[str](), []
    while len(lines) < ROWS:
        row = note(generator)
        if row["text"] in seen:
            continue
        seen.add(str(row["text"]))
        lines.append(json.dumps(row, ensure_ascii=False))
    OUT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
