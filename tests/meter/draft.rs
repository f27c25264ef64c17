//! The statements of a write.

use super::registers::{How, face, of};

/// A write that is being made.
pub(super) struct Draft {
    pub(super) register: usize,
    pub(super) tag: i64,
    pub(super) key: usize,
    pub(super) how: How,
    /// The faces that it writes, in this order, and their numbers.
    pub(super) faces: Vec<String>,
    pub(super) numbers: Vec<usize>,
    /// INSERT and MERGE take only so many of the kind's faces, and these are among them.
    pub(super) merges: bool,
    pub(super) upserts: bool,
}

impl Draft {
    pub(super) fn new(register: usize, tag: i64, face_number: usize) -> Self {
        let (kind, key) = of(register);
        let numbers = match kind.how {
            How::Same => vec![face_number % kind.faces.len()],
            How::Both => vec![0, 1],
            How::Spread | How::Insert | How::Schema => vec![0],
        };
        let all_below = |limit: usize| numbers.iter().all(|number| *number < limit);
        Self {
            register,
            tag,
            key,
            how: kind.how,
            merges: all_below(kind.merges),
            upserts: all_below(kind.upserts),
            faces: numbers
                .iter()
                .map(|number| face(register, *number))
                .collect(),
            numbers,
        }
    }

    /// The value is raised by so much.
    pub(super) fn updates(&self, by: i64) -> Vec<String> {
        let (tag, key) = (self.tag, self.key);
        if self.how == How::Insert {
            let many = if by == 1 { 1 } else { 40 };
            return vec![format!(
                "insert into lg select {key}, {tag} from generate_series(1, {many})"
            )];
        }
        let update = |face| {
            format!("update {face} set v = v + {by}, tag = {tag} where k = {key} returning v")
        };
        self.faces.iter().map(update).collect()
    }

    pub(super) fn upserts(&self) -> Vec<String> {
        let (tag, key) = (self.tag, self.key);
        let upsert = |face| {
            format!(
                "insert into {face} as x (k, v, tag) values ({key}, 0, {tag}) on conflict (k) \
                 do update set v = x.v + 1, tag = excluded.tag returning v"
            )
        };
        self.faces.iter().map(upsert).collect()
    }

    pub(super) fn merges(&self) -> Vec<String> {
        let (tag, key) = (self.tag, self.key);
        let merge = |face| {
            format!(
                "merge into {face} as x using (values ({key})) as s (k) on x.k = s.k \
                 when matched then update set v = x.v + 1, tag = {tag}"
            )
        };
        self.faces.iter().map(merge).collect()
    }

    /// One statement whatever there is to write; the main one is a SELECT. `more` is another CTE and its name.
    pub(super) fn writing_query(&self, more: (&str, &str)) -> String {
        let (tag, key, updates) = (self.tag, self.key, self.updates(1));
        let ((more, name), update) = (more, &updates[0]);
        match self.how {
            How::Insert => format!("with w as ({update} returning 1){more} select 1 from w{name}"),
            How::Both => format!(
                "with w as ({update}), w2 as (update pb set v = pb.v + 1, tag = {tag} from w \
                 where k = {key} returning pb.v){more} select v from w2{name}"
            ),
            How::Same | How::Spread | How::Schema => {
                format!("with w as ({update}){more} select v from w{name}")
            }
        }
    }

    /// Rules with DO ALSO forbid it.
    pub(super) fn may_stand_in_with(&self) -> bool {
        self.how != How::Spread || self.merges
    }

    pub(super) fn face_array(&self) -> String {
        format!("array['{}']", self.faces.join("','"))
    }

    /// Whether RETURNING tells the value.
    pub(super) fn tells(&self) -> bool {
        self.how != How::Insert
    }
}
