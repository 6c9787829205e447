"""One command in each module, and those that differ in what they write beside each other."""
