//! Fenced blocks of a document and what is to be done with them, which their first line says:
//! ` ```sh run `, ` ```sh server ` (it goes on running), ` ```sh not-run: WHY `,
//! ` ```ini file=NAME ` (written for the commands that follow).

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Run,
    /// The last command is a pgweir that serves; it takes the place of the one before.
    Server,
    File(String),
    NotRun(String),
    None,
}

#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) language: String,
    pub(super) mark: Mark,
    pub(super) text: String,
    pub(super) line: usize,
}

pub(super) fn blocks(document: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut inside = false;
    for (at, line) in document.lines().enumerate() {
        if let Some(info) = line.trim_start().strip_prefix("```") {
            inside = !inside;
            if inside {
                let (language, rest) = info.split_once(' ').unwrap_or((info, ""));
                found.push(Block {
                    language: language.to_owned(),
                    mark: mark(rest.trim()),
                    text: String::new(),
                    line: at + 1,
                });
            }
        } else if inside {
            let block = found.last_mut().unwrap();
            block.text += line;
            block.text.push('\n');
        }
    }
    assert!(!inside, "a block is not closed");
    found
}

fn mark(text: &str) -> Mark {
    if let Some(why) = text.strip_prefix("not-run:") {
        return Mark::NotRun(why.trim().to_owned());
    }
    if let Some(name) = text.strip_prefix("file=") {
        return Mark::File(name.to_owned());
    }
    match text {
        "run" => Mark::Run,
        "server" => Mark::Server,
        "" => Mark::None,
        other => panic!("no such mark: {other}"),
    }
}

#[test]
fn marks_are_read() {
    let text = "x\n```sh run\na\nb\n```\n```sh not-run: needs a moon\nc\n```\n```ini file=p.ini\n```\n```\n```\n";
    let marks: Vec<Mark> = blocks(text).into_iter().map(|block| block.mark).collect();
    let wanted = [
        Mark::Run,
        Mark::NotRun("needs a moon".to_owned()),
        Mark::File("p.ini".to_owned()),
        Mark::None,
    ];
    assert_eq!(marks, wanted);
    assert_eq!(blocks(text)[0].text, "a\nb\n");
}
