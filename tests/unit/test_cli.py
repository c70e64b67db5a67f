"""The command on small simulated exposures: results, summaries, failures, interruptions."""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pixtrace.io.product
from pixtrace.cli import main
from pixtrace.cli._terminal import Terminal
from pixtrace.io.fits_image import write_image
from pixtrace.simulate import Scene, star_in_ifu
from pixtrace.trace.params import TraceParams


@pytest.fixture(scope="module")
def scene() -> Scene:
    return star_in_ifu(n_columns=160, n_slices=3, seed=2)


@pytest.fixture(scope="module")
def source(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "star.fits"
    write_image(path, scene.image, preset=scene.preset)
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestOversample:
    def test_one_file(self, source: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["oversample", str(source), "-f", "3", "-o", str(out)]) == 0
        captured = capsys.readouterr()
        assert names(out) == ["star_oversampled.fits"]
        line = captured.out.strip()
        assert "\n" not in line
        for part in (
            "star.fits: ",
            "of 3 regions fitted",
            "columns fitted",
            "reused",
            "skipped",
            "pixels filled",
            " s -> ",
        ):
            assert part in line
        assert line.endswith(str(out / "star_oversampled.fits"))
        assert captured.err == ""

    def test_the_trace_alone(self, source: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["trace", str(source), "-o", str(out)]) == 0
        assert names(out) == ["star_trace.fits"]
        assert "regions fitted" in capsys.readouterr().out

    def test_the_result_is_that_of_the_functions(self, scene: Scene, source: Path, out: Path) -> None:
        from pixtrace.io.fitsfile import open_fits
        from pixtrace.trace.exposure import oversample_image

        assert main(["oversample", str(source), "-o", str(out), "-q", "--fit-threshold", "0", "--threads", "1"]) == 0
        params = TraceParams.preset("miri-mrs").replace(fit_threshold=0.0)
        expected = oversample_image(scene.image, 2.0, params)
        with open_fits(out / "star_oversampled.fits") as product:
            np.testing.assert_array_equal(product["SCI"].data, expected.flux)
            np.testing.assert_array_equal(product["TRACE"].data, expected.trace_used)

    def test_intermediate_results_on_request(self, source: Path, out: Path) -> None:
        from pixtrace.io.fitsfile import open_fits

        assert main(["oversample", str(source), "-o", str(out), "-q", "--save-intermediate-results"]) == 0
        with open_fits(out / "star_oversampled.fits") as product:
            assert {"TRACE_FULL", "LINEAR", "RESIDUAL"} <= {hdu.name for hdu in product}

    def test_a_picture_on_request(self, source: Path, out: Path) -> None:
        assert main(["oversample", str(source), "-o", str(out), "-q", "--plot"]) == 0
        assert names(out) == ["star_oversampled.fits", "star_oversampled.png"]
        assert (out / "star_oversampled.png").read_bytes().startswith(b"\x89PNG")

    def test_nothing_is_replaced_without_being_asked(
        self, source: Path, out: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = ["oversample", str(source), "-o", str(out)]
        assert main(words) == 0
        before = (out / "star_oversampled.fits").stat().st_mtime_ns
        assert main(words) == 1
        assert "--overwrite" in capsys.readouterr().err
        assert (out / "star_oversampled.fits").stat().st_mtime_ns == before
        assert main([*words, "--overwrite"]) == 0
        assert (out / "star_oversampled.fits").stat().st_mtime_ns != before
        assert names(out) == ["star_oversampled.fits"]

    def test_a_configuration_file_steers_it(self, source: Path, out: Path, tmp_path: Path) -> None:
        from pixtrace.io.fitsfile import open_fits

        config = tmp_path / "run.toml"
        config.write_text(f'factor = 3\noutput = "{out}"\n[parameters]\nlrange = 30\n')
        assert main(["oversample", str(source), "--config", str(config), "-q"]) == 0
        with open_fits(out / "star_oversampled.fits") as product:
            assert product[0].header["PIXFACT"] == 3

    def test_the_same_file_named_twice_is_done_once(
        self, source: Path, out: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["oversample", str(source), str(source.parent), "-o", str(out)]) == 0
        assert capsys.readouterr().out.count("regions fitted") == 1


class TestFailures:
    def test_one_that_fails_does_not_stop_the_others(
        self, source: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "broken.fits").write_bytes(b"SIMPLE  = this is not FITS")
        words = ["oversample", str(tmp_path / "broken.fits"), str(tmp_path / "absent.fits"), str(source)]
        assert main([*words, "-o", str(out)]) == 1
        captured = capsys.readouterr()
        assert names(out) == ["star_oversampled.fits"]
        assert captured.out.count("regions fitted") == 1
        summary = captured.err.split("2 of 3 files failed:")[1]
        assert "broken.fits" in summary
        assert "absent.fits" in summary
        assert "Traceback" not in captured.err

    def test_a_single_failure_is_said_once(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["oversample", str(tmp_path / "absent.fits"), "-o", str(tmp_path)]) == 1
        err = capsys.readouterr().err
        assert err.count("absent.fits") == 1
        assert err.startswith("pixtrace: error: ")

    def test_two_results_of_one_name(
        self, source: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        twin = tmp_path / "twin" / "star.fits"
        twin.parent.mkdir()
        twin.write_bytes(source.read_bytes())
        assert main(["oversample", str(source), str(twin), "-o", str(out), "--overwrite"]) == 1
        err = capsys.readouterr().err
        assert "twin" in err
        assert "use different folders" in err

    def test_an_unexpected_error_is_a_failure_of_that_file(
        self, source: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(pixtrace.io.product, "oversample_image", raiser(ZeroDivisionError("by zero")))
        assert main(["oversample", str(source), "-o", str(out)]) == 1
        err = capsys.readouterr().err
        assert "unexpected ZeroDivisionError: by zero" in err
        assert "Traceback" not in err
        assert main(["oversample", str(source), "-o", str(out), "-vv"]) == 1
        assert "Traceback" in capsys.readouterr().err
        assert names(out) == []

    def test_no_memory(
        self, source: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(pixtrace.io.product, "oversample_image", raiser(MemoryError()))
        assert main(["oversample", str(source), "-o", str(out)]) == 1
        assert "memory" in capsys.readouterr().err

    def test_unknown_presets_and_folders_that_cannot_be_made_are_wrong_usage(
        self, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["oversample", str(source), "-o", str(tmp_path / "o"), "--preset", "nirspec"]) == 2
        assert "nirspec-ifu" in capsys.readouterr().err
        (tmp_path / "file").touch()
        assert main(["oversample", str(source), "-o", str(tmp_path / "file" / "o")]) == 2
        assert "output folder" in capsys.readouterr().err

    def test_no_matplotlib(
        self, source: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
        assert main(["oversample", str(source), "-o", str(out), "--plot"]) == 2
        assert "pixtrace[plot]" in capsys.readouterr().err
        assert not out.exists()


class TestInterruption:
    def test_ctrl_c_leaves_nothing(
        self, source: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(pixtrace.io.product, "oversample_image", raiser(KeyboardInterrupt()))
        assert main(["oversample", str(source), "-o", str(out)]) == 130
        assert "interrupted" in capsys.readouterr().err
        assert names(out) == []

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_signals_during_writing(self, source: Path, out: Path, number: signal.Signals, code: int) -> None:
        program = f"""
            import os, sys
            import pixtrace.io.atomic as atomic
            def kill(path):
                assert path.exists()
                os.kill(os.getpid(), {int(number)})
                import time; time.sleep(10)
            atomic._to_disk = kill
            from pixtrace.cli import main
            sys.exit(main(sys.argv[1:]))
        """
        lines = "\n".join(line[12:] for line in program.splitlines())
        done = subprocess.run(
            [sys.executable, "-c", lines, "oversample", str(source), "-o", str(out)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == code, done.stderr
        assert names(out) == []
        assert "0 of 1 files done" in done.stderr

    def test_a_reader_that_goes_away_is_no_error(self, source: Path) -> None:
        read, write = os.pipe()
        os.close(read)
        words = [sys.executable, "-c", "import sys; from pixtrace.cli import main; sys.exit(main(sys.argv[1:]))"]
        done = subprocess.run(
            [*words, "inspect", str(source)], stdout=write, stderr=subprocess.PIPE, text=True, check=False, timeout=60
        )
        os.close(write)
        assert (done.returncode, done.stderr) == (0, "")


class TestInspect:
    def test_in_words(self, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["inspect", str(source)]) == 0
        text = capsys.readouterr().out
        for part in (str(source), "miri-mrs", "126 x 160", "SCI", "ALPHA", "can be oversampled"):
            assert part in text

    def test_as_json(self, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["inspect", "--json", str(source), str(source.parent)]) == 0
        first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
        assert first == second
        assert first["preset"] == "miri-mrs"
        assert first["images"][0]["shape"] == [126, 160]

    def test_a_product_says_that_it_is_one(self, source: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["oversample", str(source), "-o", str(out), "-q"]) == 0
        assert main(["inspect", str(out / "star_oversampled.fits")]) == 0
        text = capsys.readouterr().out
        assert "by a factor of 2" in text
        assert "problem" in text
        # ... and it is not oversampled again.
        assert main(["oversample", str(out / "star_oversampled.fits"), "-o", str(out)]) == 1

    def test_a_missing_file(self, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["inspect", str(tmp_path / "absent.fits"), str(source)]) == 1
        captured = capsys.readouterr()
        assert "absent.fits" in captured.err
        assert "miri-mrs" in captured.out


class TestDemo:
    def test_it_shows_the_wiggles(self, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["demo", "oversample", "-o", str(out)]) == 0
        text = capsys.readouterr().out
        assert names(out) == ["star.fits", "star_oversampled.fits", "wiggles.png"]
        before, after = (float(word.rstrip("%")) for word in text.split() if word.endswith("%"))
        assert before > 5.0
        assert after < 0.3 * before
        for name in names(out):
            assert str(out / name) in text
        # Once more into the same folder.
        assert main(["demo", "oversample", "-o", str(out), "-q"]) == 0

    def test_without_matplotlib_it_still_tells(
        self, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        assert main(["demo", "oversample", "-o", str(out), "-f", "2"]) == 0
        text = capsys.readouterr().out
        assert "pixtrace[plot]" in text
        assert "before" in text
        assert "wiggles.png" not in names(out)


class TestTerminal:
    def test_nobody_looking_means_no_progress_bar(self) -> None:
        with Terminal().progress("file") as progress:
            assert progress is None

    def test_the_bar_is_on_stderr_and_vanishes(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        monkeypatch.setenv("TERM", "xterm")
        with Terminal().progress("star.fits [1]") as progress:
            assert progress is not None
            progress(3, 10)
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "star.fits [1]" in captured.err
        assert "30%" in captured.err

    def test_quiet_and_verbose(self, source: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
        words = ["oversample", str(source), "-o", str(out), "--overwrite"]
        assert main([*words, "-q"]) == 0
        captured = capsys.readouterr()
        assert (captured.out, captured.err) == ("", "")
        assert main([*words, "-v"]) == 0
        captured = capsys.readouterr()
        assert "regions fitted" in captured.out
        assert "wrote" in captured.err
        assert main([*words, "-vv"]) == 0
        assert "TraceParams" in capsys.readouterr().err

    def test_warnings_become_lines(self, capsys: pytest.CaptureFixture[str]) -> None:
        import warnings

        with Terminal().logging(), warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(capture=True)
            warnings.warn("the header is odd", UserWarning, stacklevel=1)
            logging.getLogger("somebody.else").warning("beware")
        assert capsys.readouterr().err.splitlines() == [
            "pixtrace: warning: UserWarning: the header is odd",
            "pixtrace: warning: beware",
        ]

    def test_astropy_does_not_say_it_twice(self, capsys: pytest.CaptureFixture[str]) -> None:
        terminal = Terminal()
        logger = logging.getLogger("astropy")
        with terminal.logging():
            terminal.take_over_astropy()
            before = terminal._taken.copy()
            logger.warning("odd header")
        assert capsys.readouterr().err == "pixtrace: warning: odd header\n"
        assert logger.handlers == before

    def test_logging_is_left_as_it_was(self) -> None:
        before = (list(logging.getLogger().handlers), logging.getLogger("pixtrace").level)
        with contextlib.suppress(SystemExit):
            main(["oversample", "--factor", "0", "a.fits"])
        assert (list(logging.getLogger().handlers), logging.getLogger("pixtrace").level) == before


def raiser(error: BaseException) -> Any:
    """Return a function that raises."""

    def fail(*_: object, **__: object) -> Iterator[None]:
        raise error

    return fail
