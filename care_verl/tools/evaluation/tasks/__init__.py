"""Our tasks for LMMs-Eval: a YAML file, and a module that reads a row, for each benchmark."""
