//! The forms of the extended protocol that can be answered from memory: what drivers send for one
//! query, or to learn about one.

use super::asked::{Step, Steps};

/// What a request's messages come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Form<'a> {
    /// The name and the body of its Parse.
    pub(super) parse: Option<(&'a [u8], &'a [u8])>,
    /// The statement that it is about.
    pub(super) statement: Option<&'a [u8]>,
    pub(super) describes_statement: bool,
    pub(super) describes_portal: bool,
    /// Bind's body behind the names, when it is executed.
    pub(super) values: Option<&'a [u8]>,
}

impl<'a> Form<'a> {
    /// `None` for messages in another order, about several statements, or cut off by a Flush in the
    /// middle of a transaction of their own.
    pub(super) fn of(steps: &Steps<'a>) -> Option<Self> {
        let mut form = Self::default();
        let (mut bound, mut executes) = (false, false);
        let mut closes = false;
        for step in steps.iter() {
            // Closing comes last.
            let is_close = matches!(step, Step::CloseStatement(_) | Step::ClosePortal);
            if closes && !is_close {
                return None;
            }
            match step {
                Step::Parse { name, body } => {
                    if form.statement.is_some() {
                        return None;
                    }
                    form.parse = Some((name, body));
                    form.statement = Some(name);
                }
                // Before Bind or behind it: drivers do both.
                Step::DescribeStatement(name) => {
                    if !form.is_about(name) {
                        return None;
                    }
                    form.describes_statement = true;
                }
                Step::Bind { statement, values } => {
                    if bound || !form.is_about(statement) {
                        return None;
                    }
                    bound = true;
                    form.values = Some(values);
                }
                Step::DescribePortal => {
                    if !bound || executes || form.describes_portal {
                        return None;
                    }
                    form.describes_portal = true;
                }
                Step::Execute => {
                    if !bound || executes {
                        return None;
                    }
                    executes = true;
                }
                Step::ClosePortal | Step::CloseStatement(_) => closes = true,
            }
        }
        // A portal that is bound and not executed, or a result before its Sync, belongs to a
        // transaction that goes on.
        let whole = executes == bound && !(executes && steps.ends_with_flush());
        whole.then_some(form)
    }

    fn is_about(&mut self, name: &'a [u8]) -> bool {
        *self.statement.get_or_insert(name) == name
    }
}

#[cfg(test)]
mod tests {
    use super::super::asked::{self, Asked};
    use super::*;
    use crate::wire::frame;

    const BIND: (u8, &[u8]) = (b'B', b"\0\0\0\0\0\0\0\0");
    const EXECUTE: (u8, &[u8]) = (b'E', b"\0\0\0\0\0");
    const PARSE: (u8, &[u8]) = (b'P', b"\0select 1\0\0\0");
    const SYNC: (u8, &[u8]) = (b'S', b"");

    fn form(frames: &[(u8, &[u8])], check: impl FnOnce(Option<Form<'_>>)) {
        let mut bytes = Vec::new();
        for (tag, body) in frames {
            frame::push(&mut bytes, *tag, &[body]);
        }
        let (Asked::Steps(steps), _) = asked::read(&bytes).unwrap() else {
            panic!("{frames:?}");
        };
        check(Form::of(&steps));
    }

    #[test]
    fn forms_of_drivers() {
        form(&[PARSE, (b'D', b"S\0"), (b'H', b"")], |form| {
            let form = form.unwrap();
            assert!(form.describes_statement && form.values.is_none());
        });
        form(
            &[PARSE, BIND, (b'D', b"P\0"), EXECUTE, (b'C', b"P\0"), SYNC],
            |form| {
                let form = form.unwrap();
                assert!(form.describes_portal && form.values.is_some());
            },
        );
        form(&[PARSE, BIND, (b'D', b"S\0"), EXECUTE, SYNC], |form| {
            let form = form.unwrap();
            assert!(form.describes_statement && form.values.is_some());
        });
        form(&[(b'C', b"Ss\0"), SYNC], |form| {
            assert_eq!(form.unwrap().statement, None);
        });
    }

    #[test]
    fn other_forms() {
        for frames in [
            // An unsynced result.
            &[PARSE, BIND, EXECUTE, (b'H', b"")][..],
            // A portal left open.
            &[PARSE, BIND, SYNC],
            &[PARSE, BIND, EXECUTE, BIND, EXECUTE, SYNC],
            &[PARSE, PARSE, SYNC],
            &[PARSE, (b'D', b"Sother\0"), SYNC],
            &[EXECUTE, SYNC],
            &[PARSE, BIND, EXECUTE, (b'C', b"P\0"), (b'D', b"S\0"), SYNC],
        ] {
            form(frames, |form| assert_eq!(form, None, "{frames:?}"));
        }
    }
}
