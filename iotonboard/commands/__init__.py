"""One file per verb, with the whole protocol of the verb in it. Commands do not import each other."""
