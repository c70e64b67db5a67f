"""The words of the command line and the configuration file."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pixtrace.cli import main
from pixtrace.cli._options import Options
from pixtrace.cli._parser import build_parser
from pixtrace.exceptions import ConfigError, FileReadError, ParameterError
from pixtrace.trace.params import TraceParams


def gather(*words: str) -> Options:
    return Options.gather(build_parser().parse_args(["oversample", "a.fits", *words]))


def config(folder: Path, text: str) -> str:
    path = folder / "pixtrace.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


class TestOptions:
    def test_defaults(self) -> None:
        assert gather() == Options()
        assert Options().params_for(TraceParams.preset("miri-mrs")) == TraceParams.preset("miri-mrs")

    def test_every_option_arrives(self) -> None:
        words = (
            "-f 2.5 -o out --overwrite --plot --save-intermediate-results --preset nirspec-ifu --fit-threshold 5 "
            "--slope-limit 0.2 --psf-optimal --threads 3"
        )
        assert gather(*words.split()) == Options(
            factor=2.5,
            output=Path("out"),
            overwrite=True,
            plot=True,
            save_intermediate_results=True,
            preset="nirspec-ifu",
            fit_threshold=5.0,
            slope_limit=0.2,
            psf_optimal=True,
            threads=3,
        )

    def test_the_parameters_come_from_preset_table_and_options(self) -> None:
        options = Options(preset="nirspec-ifu", fit_threshold=5.0, parameters={"lrange": 20})
        expected = TraceParams.preset("nirspec-ifu").replace(fit_threshold=5.0, lrange=20)
        assert options.params_for(TraceParams.preset("generic")) == expected

    @pytest.mark.parametrize(
        ("words", "named"),
        [
            ("--factor 0.5", "factor"),
            ("--factor nan", "factor"),
            ("--factor inf", "factor"),
            ("--factor -1", "factor"),
            ("--threads 0", "threads"),
            ("--fit-threshold nan", "fit_threshold"),
            ("--slope-limit inf", "slope_limit"),
        ],
    )
    def test_impossible_values(self, words: str, named: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(ParameterError, match=named):
            gather(*words.split())
        assert main(["oversample", "a.fits", *words.split()]) == 2
        assert named in capsys.readouterr().err

    @pytest.mark.parametrize(
        "words",
        [
            "",
            "oversample",
            "oversample a.fits --fact 3",
            "oversample a.fits --factor three",
            "oversample a.fits -v -q",
            "trace a.fits --factor 2",
            "demo",
            "demo nothing",
            "invent",
        ],
    )
    def test_words_that_make_no_sense(self, words: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as stop:
            main(words.split())
        assert stop.value.code == 2
        assert "usage" in capsys.readouterr().err


class TestConfig:
    def test_every_key(self, tmp_path: Path) -> None:
        text = """
            factor = 3
            output = "results"
            overwrite = true
            plot = true
            save-intermediate-results = true
            preset = "miri-mrs"
            fit_threshold = 8
            slope_limit = 0.05
            psf_optimal = true
            threads = 2
            [parameters]
            lrange = 40
            spline-bkpt = 30
        """
        assert gather("--config", config(tmp_path, text)) == Options(
            factor=3,
            output=Path("results"),
            overwrite=True,
            plot=True,
            save_intermediate_results=True,
            preset="miri-mrs",
            fit_threshold=8,
            slope_limit=0.05,
            psf_optimal=True,
            threads=2,
            parameters={"lrange": 40, "spline_bkpt": 30},
        )

    def test_the_command_line_wins(self, tmp_path: Path) -> None:
        path = config(tmp_path, "factor = 3\nplot = true\noverwrite = true\nslope_limit = 0.3\n")
        options = gather("--config", path, "--factor", "4", "--no-plot")
        assert (options.factor, options.plot, options.overwrite, options.slope_limit) == (4.0, False, True, 0.3)

    def test_trace_ignores_the_factor_of_the_file(self, tmp_path: Path) -> None:
        arguments = build_parser().parse_args(["trace", "a.fits", "--config", config(tmp_path, "factor = 3")])
        assert Options.gather(arguments, factor=1.0).factor == 1.0

    def test_an_empty_file_changes_nothing(self, tmp_path: Path) -> None:
        assert gather("--config", config(tmp_path, "")) == Options()

    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            ("fit_treshold = 3", ["fit_treshold", "did you mean fit_threshold"]),
            ("colour = 3", ["colour", "the names are", "slope_limit"]),
            ("factor = 'three'", ["factor", "'three'", "is a text", "expected a number"]),
            ("factor = true", ["factor", "true or false", "expected a number"]),
            ("overwrite = 1", ["overwrite", "is a whole number", "expected true or false"]),
            ("threads = 2.5", ["threads", "is a number", "expected a whole number"]),
            ("output = ['a']", ["output", "is a list", "expected a text"]),
            ("preset = 2020-01-01", ["preset", "is a date"]),
            ("parameters = 3", ["parameters", "expected a table"]),
            ("psf_optimal = true\npsf-optimal = false", ["psf_optimal", "twice"]),
            ("[parameters]\nlrang = 3", ["[parameters]", "lrang", "did you mean lrange"]),
            ("[parameters]\nlrange = 0", ["[parameters]", "lrange"]),
            ("[parameters]\nlrange = 'wide'", ["[parameters]", "lrange", "wide"]),
            ("[parameters]\nslope_limit = 0.1", ["slope_limit", "belongs above"]),
            ("factor = = 3", ["not a TOML file", "line 1"]),
        ],
    )
    def test_mistakes_are_named(
        self, text: str, parts: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = config(tmp_path, text)
        with pytest.raises(ConfigError) as caught:
            gather("--config", path)
        assert all(part in str(caught.value) for part in [path, *parts])
        assert main(["oversample", "a.fits", "--config", path]) == 2
        assert parts[0] in capsys.readouterr().err

    def test_files_that_cannot_be_read(self, tmp_path: Path) -> None:
        with pytest.raises(FileReadError, match=r"missing\.toml"):
            gather("--config", str(tmp_path / "missing.toml"))
        (tmp_path / "binary.toml").write_bytes(b"factor = '\xff'")
        with pytest.raises(ConfigError, match="UTF-8"):
            gather("--config", str(tmp_path / "binary.toml"))

    def test_the_example_in_the_help_is_valid(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            main(["oversample", "--help"])
        lines = capsys.readouterr().out.split("configuration file")[1].splitlines()[1:]
        text = "\n".join(lines[: lines.index("exit codes:")])
        assert gather("--config", config(tmp_path, text)).parameters == {"lrange": 50, "spline_bkpt": 36}


class TestHelp:
    @pytest.mark.parametrize("words", ["", "oversample", "trace", "inspect", "demo", "demo oversample"])
    def test_every_command_has_help_with_its_exit_codes(self, words: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as stop:
            main([*words.split(), "--help"])
        assert stop.value.code == 0
        text = capsys.readouterr().out
        assert "exit codes" in text
        assert "130" in text

    def test_version(self, capsys: pytest.CaptureFixture[str]) -> None:
        from pixtrace import __version__

        with pytest.raises(SystemExit) as stop:
            main(["--version"])
        assert stop.value.code == 0
        assert capsys.readouterr().out == f"pixtrace {__version__}\n"

    def test_help_imports_nothing_heavy(self) -> None:
        code = """
            import sys
            from pixtrace.cli import main
            try:
                main(["oversample", "--help"])
            except SystemExit:
                pass
            heavy = {"numpy", "astropy", "rich", "matplotlib", "tomllib"} & set(sys.modules)
            print(sorted(heavy), file=sys.stderr)
        """
        lines = "\n".join(line[12:] for line in code.splitlines())
        done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True)
        assert done.stderr.strip() == "[]"


def test_options_are_documented(capsys: pytest.CaptureFixture[str]) -> None:
    """Every preset the help names exists, and the other way round up to the suffixes it names."""
    from pixtrace.trace.params import PRESETS

    with pytest.raises(SystemExit):
        main(["oversample", "--help"])
    text: Any = " ".join(capsys.readouterr().out.split()).replace("- ", "-")
    for name in PRESETS:
        assert name.removesuffix("-nrs2").removesuffix("-prism") in text
