"""Reading sounds: every width of WAV, channels, rates; what is no sound is told from what is."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

import sounds
from tunesmith.data.opening import Unreadable
from tunesmith.data.sounds import at_rate, hear
from tunesmith.data.table import read

WAVE = 0.5 * np.sin(np.arange(400) / 5)


@pytest.mark.parametrize(
    ("dtype", "scale", "shift"),
    [("uint8", 127, 128), ("int16", 32767, 0), ("int32", 2**31 - 128, 0), ("float32", 1, 0)],
)
def test_every_width_is_the_same_sound(dtype: str, scale: float, shift: float, tmp_path: Path) -> None:
    wavfile.write(tmp_path / "a.wav", 8000, (WAVE * scale + shift).astype(dtype))
    heard = hear(tmp_path / "a.wav")
    assert heard.rate == 8000 and heard.changes == ()
    assert np.abs(heard.samples_S - WAVE).max() < (0.02 if dtype == "uint8" else 1e-4)


def test_channels_are_mixed_and_loud_floats_cut(tmp_path: Path) -> None:
    two = np.stack([WAVE, np.zeros(400)], axis=1).astype(np.float32)
    wavfile.write(tmp_path / "two.wav", 8000, two)
    heard = hear(tmp_path / "two.wav")
    assert heard.changes == ("2 channels mixed to one",) and np.allclose(heard.samples_S, WAVE / 2)
    wavfile.write(tmp_path / "loud.wav", 8000, (4 * WAVE).astype(np.float32))
    heard = hear(tmp_path / "loud.wav")
    assert heard.changes == ("samples beyond full scale cut to it",) and heard.samples_S.max() == 1


def test_what_is_no_sound_is_told(tmp_path: Path) -> None:
    whole = sounds.write(tmp_path / "a.wav", WAVE).read_bytes()
    cases = {
        "cut.wav": (whole[:300], "damaged, cut off"), "head.wav": (whole[:20], "damaged, cut off"),
        "text.wav": (b"no sound", "soundfile|audio|no sound that can be read"),
    }  # fmt: skip
    for name, (content, why) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(Unreadable, match=why):
            hear(tmp_path / name)
    sounds.write(tmp_path / "empty.wav", WAVE[:0])
    with pytest.raises(Unreadable, match="no samples|damaged"):
        hear(tmp_path / "empty.wav")
    wavfile.write(tmp_path / "nan.wav", 8000, np.array([0, np.nan], np.float32))
    with pytest.raises(Unreadable, match="no numbers"):
        hear(tmp_path / "nan.wav")
    with pytest.raises(Unreadable, match="no such file"):
        hear(tmp_path / "none.wav")


def test_flac_needs_the_extra_and_is_read_with_it(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(tmp_path / "a.flac", WAVE.astype(np.float32), 8000)
    assert np.abs(hear(tmp_path / "a.flac").samples_S - WAVE).max() < 1e-3


def test_without_the_extra_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "soundfile", None)
    (tmp_path / "a.flac").write_bytes(b"fLaC")
    with pytest.raises(Unreadable, match=r"pip install 'tunesmith\[audio\]'"):
        hear(tmp_path / "a.flac")


def test_resampling_keeps_the_note_and_drops_what_the_rate_cannot_hold() -> None:
    time = np.arange(8000) / 8000
    low, high = np.sin(2 * np.pi * 200 * time), np.sin(2 * np.pi * 3000 * time)
    made = at_rate((low + high).astype(np.float32), 8000, 2000)
    wanted = np.sin(2 * np.pi * 200 * np.arange(2000) / 2000)
    assert len(made) == 2000 and np.abs(made - wanted)[100:-100].max() < 0.02


def test_one_recording_under_two_names_has_one_digest(tmp_path: Path) -> None:
    first, second = (hear(sounds.write(tmp_path / f"{n}.wav", WAVE)) for n in "ab")
    assert first.digest == second.digest != hear(sounds.write(tmp_path / "c.wav", WAVE[:-1])).digest


def test_a_folder_of_sounds_is_a_table(tmp_path: Path) -> None:
    table = read(sounds.tones(tmp_path / "tones", each=1))
    assert table.columns == ("audio", "label")
    assert [cells["audio"] for _, cells in table.rows] == ["high/000.wav", "low/000.wav", "middle/000.wav"]
    assert any("a folder of 3 sounds in 3 classes" in note for note in table.notes)
