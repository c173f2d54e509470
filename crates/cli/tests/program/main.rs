//! The program as its user meets it: arguments and files in; text, pictures, one clear message and an exit code out.

mod book;
mod catalogue;
mod compare;
mod damaged_models;
mod evaluate;
mod explaining;
mod graph;
mod language;
mod lines;
mod llama;
mod pretrained;
mod process;
mod pronounce;
mod studio;
mod task;
mod train;
mod translate;
mod view;
