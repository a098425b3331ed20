"""One file per verb: a Request, a Result and one function. Commands do not import each other."""
