"""The tests of pixtrace: unit, properties (laws), parity (the reference implementation), and the benchmark."""
