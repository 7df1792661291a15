//! One error for the whole product: what happened, where, what state the data is in, what to do.
//!
//! The table below is the only place that says what a code means and how the process exits.

use std::{fmt, path::PathBuf};

/// What every fallible function here returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How the process ends when this error ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 1: the run failed.
    Failed,
    /// 2: usage or configuration.
    Usage,
    /// 3: another run holds the pipeline.
    Busy,
    /// 130 or 143: a signal asked for it.
    Interrupted,
}

macro_rules! codes {
    ($($name:ident = $number:literal, $exit:ident, $title:literal;)*) => {
        /// A stable number for a kind of error; `floodmark explain FM…` prints its page.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $(#[doc = $title] $name,)* }

        impl Code {
            /// Every code, in order.
            pub const ALL: &[Code] = &[$(Code::$name,)*];
            /// As printed: `FM0301`.
            pub fn number(self) -> &'static str { match self { $(Code::$name => $number,)* } }
            /// One line, in lower case.
            pub fn title(self) -> &'static str { match self { $(Code::$name => $title,)* } }
            /// How the process ends.
            pub fn exit(self) -> Exit { match self { $(Code::$name => Exit::$exit,)* } }
        }
    };
}

codes! {
    ConfigRead       = "FM0101", Usage,  "the pipeline file cannot be read";
    ConfigInvalid    = "FM0102", Usage,  "the pipeline file has mistakes";
    Reference        = "FM0103", Usage,  "a ${…} reference cannot be resolved";
    UnknownPipeline  = "FM0104", Usage,  "no pipeline of that name";
    BadUrl           = "FM0105", Usage,  "not a connection URL that is understood";
    Unsafe           = "FM0106", Usage,  "this combination cannot be loaded safely";
    BadArgument      = "FM0107", Usage,  "a command-line value is wrong";
    SourceMissing    = "FM0201", Failed, "no file matches the source";
    SourceRead       = "FM0202", Failed, "the source cannot be read";
    SourceEmpty      = "FM0203", Failed, "the source file is empty";
    BadHeader        = "FM0204", Failed, "the header row cannot be used";
    BadEncoding      = "FM0205", Failed, "the text is not UTF-8";
    OpenQuote        = "FM0206", Failed, "a quote is opened and never closed";
    RowTooLarge      = "FM0207", Failed, "a row is larger than the limit";
    BadFormat        = "FM0208", Failed, "the file is not of the format it should be";
    BadCompression   = "FM0209", Failed, "the compressed data is broken";
    ChangedFile      = "FM0210", Failed, "a file that was loaded has changed";
    LateRows         = "FM0211", Failed, "a new file holds rows behind the watermark";
    EmptyReplace     = "FM0212", Failed, "an empty source would empty the table";
    TiedRows         = "FM0213", Failed, "two different rows have the same key and version";
    BadValue         = "FM0301", Failed, "a value does not fit its column";
    NullKey          = "FM0302", Failed, "a key column is NULL";
    NullValue        = "FM0303", Failed, "a column that must not be NULL is NULL";
    NullCursor       = "FM0304", Failed, "rows have no watermark value";
    RaggedRow        = "FM0305", Failed, "a row has the wrong number of fields";
    TooManyRejects   = "FM0306", Failed, "more rows were rejected than allowed";
    Unstorable       = "FM0307", Failed, "the destination cannot hold this value exactly";
    DestinationOpen  = "FM0401", Failed, "the destination cannot be opened";
    DestinationWrite = "FM0402", Failed, "the destination refused a write";
    DestinationBusy  = "FM0403", Failed, "the destination is locked by another program";
    TableShape       = "FM0404", Failed, "the existing table does not suit the pipeline";
    SchemaFrozen     = "FM0405", Failed, "the columns differ and the schema is frozen";
    SchemaChange     = "FM0406", Failed, "a column changed in a way that would lose data";
    Busy             = "FM0501", Busy,   "another run holds this pipeline";
    Fenced           = "FM0502", Failed, "this run lost its lock to a newer one";
    StateTooNew      = "FM0503", Failed, "the state was written by a newer Floodmark";
    StateDamaged     = "FM0504", Failed, "the state cannot be understood";
    Accounting       = "FM0601", Failed, "the row accounting does not add up";
    Interrupted      = "FM0602", Interrupted, "interrupted by a signal";
    Transform        = "FM0603", Failed, "the SQL transform failed";
    Output           = "FM0604", Failed, "the output cannot be written";
    Unverified       = "FM0605", Failed, "the table cannot be verified";
    Listen           = "FM0701", Failed, "the address cannot be listened on";
    Internal         = "FM0901", Failed, "Floodmark has a defect";
}

impl Code {
    /// The code with that number, in either case: `fm0301`.
    pub fn parse(number: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.number().eq_ignore_ascii_case(number))
    }
}

/// Where in a source the trouble is. Lines and columns count from 1; a column of a table is a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The file, as the user would name it.
    pub file: Option<PathBuf>,
    /// Line in a text file.
    pub line: Option<u64>,
    /// Row of a file that has no lines (Parquet, Arrow), from 1.
    pub row: Option<u64>,
    /// Column name.
    pub column: Option<String>,
    /// The offending value, cut short.
    pub value: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sep = "";
        if let Some(file) = &self.file {
            write!(f, "{}", file.display())?;
            sep = ", ";
            if let Some(line) = self.line {
                write!(f, ":{line}")?;
            }
        } else if let Some(line) = self.line {
            write!(f, "line {line}")?;
            sep = ", ";
        }
        if let Some(row) = self.row {
            write!(f, "{sep}row {row}")?;
            sep = ", ";
        }
        if let Some(column) = &self.column {
            write!(f, "{sep}column {column:?}")?;
            sep = ", ";
        }
        if let Some(value) = &self.value {
            write!(f, "{sep}value {value:?}")?;
        }
        Ok(())
    }
}

/// An error a person can act on. Boxed inside, so that `Result` stays small on hot paths.
pub struct Error(Box<Inner>);

struct Inner {
    code: Code,
    message: String,
    place: Option<Place>,
    state: Option<String>,
    help: Vec<String>,
    signal: Option<i32>,
    transient: bool,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// `message` says what happened, in one sentence without a full stop.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Error(Box::new(Inner {
            code,
            message: message.into(),
            place: None,
            state: None,
            help: Vec::new(),
            signal: None,
            transient: false,
            cause: None,
        }))
    }

    /// A broken invariant of ours, never the user's fault.
    pub fn internal(message: impl Into<String>) -> Self {
        Error::new(Code::Internal, message).help("please report this with the command and the --verbose output")
    }

    /// Where it happened.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.0.place = Some(place);
        self
    }

    /// Names the file unless one is named already.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.0.place.get_or_insert_default().file.get_or_insert_with(|| file.into());
        self
    }

    /// What state the data is in: "nothing was written".
    #[must_use]
    pub fn state(mut self, state: impl Into<String>) -> Self {
        self.0.state = Some(state.into());
        self
    }

    /// Says what state the data is in, unless that is said already.
    #[must_use]
    pub fn or_state(mut self, state: impl Into<String>) -> Self {
        self.0.state.get_or_insert_with(|| state.into());
        self
    }

    /// What to do; may be called more than once.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help.push(help.into());
        self
    }

    /// The error underneath.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// Told in other words: message, state and advice go through `words`, place and cause stay.
    #[must_use]
    pub fn reworded(mut self, words: impl Fn(&str) -> String) -> Self {
        let inner = &mut *self.0;
        inner.message = words(&inner.message);
        inner.state = inner.state.as_deref().map(&words);
        inner.help.iter_mut().for_each(|help| *help = words(help));
        self
    }

    /// The signal that interrupted the run.
    #[must_use]
    pub fn signal(mut self, signal: i32) -> Self {
        self.0.signal = Some(signal);
        self
    }

    /// The same may succeed a moment later, with nothing changed by a person: a connection that was lost, a deadlock.
    #[must_use]
    pub fn transient(mut self) -> Self {
        self.0.transient = true;
        self
    }

    /// Whether it may.
    pub fn is_transient(&self) -> bool {
        self.0.transient
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What happened.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where, when known.
    pub fn place(&self) -> Option<&Place> {
        self.0.place.as_ref()
    }

    /// What state the data is in, when said.
    pub fn data_state(&self) -> Option<&str> {
        self.0.state.as_deref()
    }

    /// What to do.
    pub fn advice(&self) -> &[String] {
        &self.0.help
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self.0.code.exit() {
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Busy => 3,
            Exit::Interrupted => 128 + self.0.signal.and_then(|s| u8::try_from(s).ok()).unwrap_or(2),
        }
    }
}

impl fmt::Display for Error {
    /// One line: message, place and cause; the code, state and help are the renderer's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(place) = &self.0.place {
            let place = place.to_string();
            if !place.is_empty() {
                write!(f, " ({place})")?;
            }
        }
        if let Some(cause) = &self.0.cause {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {self}", self.0.code.number())?;
        for help in &self.0.help {
            write!(f, "; {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.cause.as_deref().map(|e| e as _)
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        Error::internal("an Arrow operation failed").cause(error)
    }
}

/// A value as shown in messages: one line, at most 80 characters.
pub fn shorten(value: &str) -> String {
    let mut out: String = value.chars().take(80).collect();
    if out.len() < value.len() {
        out.push('…');
    }
    out
}
