"""What the data itself allows: wrong labels, leaks, what more images would bring, plain rules."""
