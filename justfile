# One word for each thing to do. They use the `python` of the environment that is active; `just setup` fills it.

set shell := ["bash", "-euo", "pipefail", "-c"]

export RUSTDOCFLAGS := "-D warnings"

# list the recipes
default:
    @just --list --unsorted

# install the tools, and pixtrace from the source tree, into the active environment
setup:
    python -m pip install --upgrade "pip>=25.1"
    python -m pip install --group dev
    just develop

# build the extension module and link the source tree, with all extras, into the active environment
develop:
    maturin develop --release --locked --extras hdf5,jwst,plot,scipy,specutils

# format everything, and mend what the linter can mend
fmt:
    cargo fmt --all
    ruff check --fix
    ruff format

# formatting and lint, Rust and Python, warnings are errors
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    cargo doc --workspace --no-deps --locked
    ruff format --check
    ruff check
    cd python && find pixtrace -name '*.py' -print0 | sort -z | xargs -0 numpydoc lint --config ..

# both type checkers on the package and the tests, and the stub against the installed extension module
types:
    mypy
    basedpyright --warnings --pythonpath "$(python -c 'import sys; print(sys.executable)')"
    python -m mypy.stubtest pixtrace._native --mypy-config-file pyproject.toml

# the tests of the core: unit, properties, documentation (README.md among it), examples
test-rust:
    cargo test --workspace --locked
    for example in rust/pixtrace/examples/*.rs; do \
        cargo run --release --locked --package pixtrace --example "$(basename "$example" .rs)"; \
    done

# build the wheel and install that, with all extras, in place of the source tree
wheel:
    rm -rf dist
    maturin build --release --locked --out dist
    python -m pip uninstall --yes --quiet pixtrace
    python -m pip install --quiet "$(ls dist/pixtrace-*.whl)[all]"

# the tests, README.md's examples among them
test *arguments:
    python -m pytest {{ arguments }}

# the tests of a package that we adapt ourselves to (jwst, sofia), with our code, in an environment of its own
peers name="jwst":
    python -m tests.adapters.peers {{ name }}

# those of sofia_redux
peers-sofia: (peers "sofia")

# exactly what CI runs
check: lint test-rust wheel types test peers peers-sofia

# measure against jwst 3.0.0 in an environment of its own, and write docs/benchmarks.md (half an hour or more)
bench *arguments:
    python -m tests.bench {{ arguments }}

# the documentation of the core, in target/doc
docs:
    cargo doc --package pixtrace --no-deps --locked
