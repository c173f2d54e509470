//! A place to look at attention: a local web page over traces of any length.
