"""Column names that say what a column holds, in the languages of our users."""

TEXT_NAMES = (
    "text sentence content description body message review comment document question query utterance title headline "
    "tweet abstract summary input prompt instruction sentence1 sentence2 text_a text_b premise hypothesis shorttext "
    "文本 内容 描述 正文 句子 评论 标题 问题 故障描述"
)
LABEL_NAMES = (
    "label class category target failure labels tag intent sentiment topic emotion score rating output answer "
    "failure_mode 标签 类别 分类 类型 情感 意图 故障类型 故障类别"
)
IMAGE_NAMES = "image img picture photo path file filename file_name filepath file_path image_path 图片 图像 照片"
SOUND_NAMES = (
    "audio sound wav clip recording speech path file filename file_name filepath file_path audio_path 音频 录音 声音"
)
OTHER_NAMES = (
    "id idx index uid uuid guid row date name time timestamp datetime source split site group user "
    "author lang language weight url count price 编号 序号 日期 时间 来源"
)

TEXTS, LABELS = frozenset(TEXT_NAMES.split()), frozenset(LABEL_NAMES.split()) | {"y"}
# a cell that says "y" may well be an answer, so it does not tell a header
IMAGES, SOUNDS = frozenset(IMAGE_NAMES.split()), frozenset(SOUND_NAMES.split())
CAPTIONS = frozenset(["caption", "captions", "alt", "alt_text", "说明", "图片描述"])
KNOWN = (TEXTS | LABELS | IMAGES | CAPTIONS | frozenset(OTHER_NAMES.split())) - {"y"}


def plain(name: str) -> str:
    """A column name as it is compared with the lists: no case, no spaces around it."""
    return name.strip().casefold()
