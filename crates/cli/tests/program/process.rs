//! Starting the program and saying what it must not do.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

/// The model that comes with the program.
pub fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/translate-en-fr")
}

/// The program with these arguments, nothing on its standard input.
pub fn regard<S: AsRef<str>>(arguments: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_regard"));
    command.args(arguments.iter().map(AsRef::as_ref)).stdin(Stdio::null());
    command.env("RUST_BACKTRACE", "0").env_remove("COLUMNS");
    command
}

/// What it left behind.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    fn new(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
        let ran = Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) };
        assert!(!ran.err.contains("panicked"), "{ran:?}");
        ran
    }

    /// It did what it was asked; its standard output.
    #[track_caller]
    pub fn succeeds(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// It failed with code 1 and one message that says all of `said`.
    #[track_caller]
    pub fn fails(self, said: &[&str]) -> String {
        assert_eq!(self.code, Some(1), "{self:?}");
        let messages = self.err.lines().filter(|line| line.starts_with("regard: ")).count();
        assert_eq!(messages, 1, "{self:?}");
        assert!(said.iter().all(|said| self.err.contains(said)), "{said:?} in {self:?}");
        self.out
    }

    /// It refused its arguments.
    #[track_caller]
    pub fn misused(self, said: &str) {
        assert_eq!(self.code, Some(2), "{self:?}");
        assert!(self.err.contains(said), "{said} in {self:?}");
    }
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Ran {
    Ran::new(command.output().unwrap())
}

/// Runs the program with these arguments.
pub fn ran<S: AsRef<str>>(arguments: &[S]) -> Ran {
    run(&mut regard(arguments))
}

/// Runs the program with these arguments and bytes on its standard input.
pub fn fed<S: AsRef<str>>(arguments: &[S], input: &[u8]) -> Ran {
    let mut command = regard(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    thread::scope(|scope| {
        // The program may stop reading; that is for the assertions to judge.
        scope.spawn(move || drop(stdin.write_all(input)));
        Ran::new(child.wait_with_output().unwrap())
    })
}

/// A device that is always full.
pub fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

/// A pipe that nobody reads.
pub fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// The path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
