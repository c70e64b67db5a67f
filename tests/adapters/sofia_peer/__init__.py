"""What runs where sofia_redux is installed: our tests with it, and its own with our class."""
