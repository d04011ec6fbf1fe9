"""Words that carry grammar and not meaning: a synonym of them is none."""

_ENGLISH = """
a about above after again all am an and any are as at be because been before being below between both but by can could
did do does doing down during each few for from further had has have having he her here hers him his how i if in into
is it its itself may me might more most must my of off on once only or other our out over own per shall she should
so some such than that the their theirs them then there these they this those through to too under until up upon us very
was we were what when where which while who whom why will with would you your yours
"""
_CHINESE = "的地得了着过是在和与及或也都就而且但被把从向对于等吧吗呢啊我你您他她它们这那哪之其所以因为有很更最再又还"
_SET = frozenset(_ENGLISH.split()) | frozenset(_CHINESE)


def carries_meaning(word: str) -> bool:
    """Whether it is none of the function words of English or Chinese."""
    return word.lower() not in _SET
