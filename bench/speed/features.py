"""sentence-transformers' side: the frozen base as a reader, and a linear model on its vectors.

This is another method than ours (mean of the last states, no pooler, scikit-learn's solver instead of optimizer steps),
and what SetFit does without its contrastive stage. It stands beside the heads as the classical cheap answer.
"""

from typing import Any

from meter import Laps, Meter

BATCH = 32
"""Their default."""


def train(ask: dict[str, Any], laps: Laps) -> dict[str, Any]:
    """Vectors of all training texts, and logistic regression on them. Tokenisation is inside their `encode`."""
    from sklearn.linear_model import LogisticRegression

    meter, encoder = Meter(), _encoder(ask, laps)
    (learn, targets), (test, truth) = (zip(*ask["rows"][part], strict=True) for part in ("train", "test"))
    with meter:
        head = LogisticRegression(max_iter=1000).fit(encoder.encode(list(learn), batch_size=BATCH), targets)
    laps.lap("train")
    accuracy = float(head.score(encoder.encode(list(test), batch_size=BATCH), truth))
    laps.lap("judge")
    return meter.told() | {"accuracy": accuracy, "precision": "fp32", "other_method": True}


def predict(ask: dict[str, Any], laps: Laps) -> dict[str, Any]:
    """Vectors of all held-out texts; the linear model on them costs nothing beside."""
    meter, encoder = Meter(), _encoder(ask, laps)
    texts = [text for text, _ in ask["rows"]["test"]]
    encoder.encode(texts[:8], batch_size=BATCH)
    laps.lap("warm up")
    with meter:
        encoder.encode(texts, batch_size=BATCH)
    laps.lap("predict")
    return meter.told() | {"texts": len(texts), "precision": "fp32", "other_method": True}


def _encoder(ask: dict[str, Any], laps: Laps) -> Any:
    from sentence_transformers import SentenceTransformer

    laps.lap("import")
    encoder = SentenceTransformer(ask["base"], device="cpu")
    encoder.max_seq_length = ask["rows"]["longest"]
    laps.lap("load")
    return encoder
