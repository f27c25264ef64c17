//! The order of things: dirty before it is sent, the generation before ReadyForQuery.

use std::sync::Arc;

use super::{Moment, Touch, Writes};
use crate::cache::generation::{Generations, Live};
use crate::wire::replies::Status;

struct World {
    generations: Arc<Generations>,
    writes: Writes,
}

impl World {
    fn new() -> Self {
        let generations = Generations::new();
        Self {
            writes: Writes::new(Arc::clone(&generations), 7),
            generations,
        }
    }

    fn state(&self, relation: u32) -> &'static str {
        match self
            .generations
            .stamp(self.generations.epoch(), &[relation])
        {
            Some(_) => "clean",
            None => "dirty",
        }
    }
}

#[test]
fn an_autocommit_write_is_dirty_until_its_outcome() {
    let mut world = World::new();
    let before = world.generations.stamp(0, &[1]).unwrap();
    world.writes.begins(Status::Idle);
    world.writes.touch(Touch::Relations(&[1]), 0);
    assert_eq!(world.state(1), "dirty");
    assert_eq!(world.state(2), "clean");
    world.writes.asks();
    assert_eq!(world.state(1), "dirty");
    world.writes.ready(Status::Idle);
    assert_eq!(world.state(1), "clean");
    assert_eq!(before.state(), Live::Stale);
}

#[test]
fn in_a_block_only_the_commit_is() {
    let mut world = World::new();
    world.writes.begins(Status::Transaction);
    world.writes.touch(Touch::Relations(&[1]), 0);
    world.writes.asks();
    assert_eq!(world.state(1), "clean");
    world.writes.ready(Status::Transaction);
    let before = world.generations.stamp(0, &[1]).unwrap();
    world.writes.begins(Status::Transaction);
    world.writes.may_commit();
    assert_eq!(world.state(1), "dirty");
    world.writes.asks();
    // COMMIT AND CHAIN: committed, and still in a block.
    world.writes.ready(Status::Transaction);
    assert_eq!(world.state(1), "clean");
    assert_eq!(before.state(), Live::Stale);
}

#[test]
fn a_pipeline_keeps_what_a_later_message_may_commit_dirty() {
    let mut world = World::new();
    // BEGIN, UPDATE, COMMIT, each with a ReadyForQuery of its own, sent at once.
    world.writes.begins(Status::Idle);
    world.writes.asks();
    world.writes.touch(Touch::Relations(&[1]), 0);
    world.writes.asks();
    world.writes.may_commit();
    world.writes.asks();
    world.writes.ready(Status::Transaction);
    assert_eq!(world.state(1), "dirty");
    world.writes.ready(Status::Transaction);
    assert_eq!(world.state(1), "dirty");
    world.writes.ready(Status::Idle);
    assert_eq!(world.state(1), "clean");
}

#[test]
fn a_commit_that_was_sent_before_the_write_was_answered_keeps_it_dirty() {
    let mut world = World::new();
    world.writes.begins(Status::Idle);
    world.writes.touch(Touch::Relations(&[1]), 0);
    world.writes.asks();
    // Executed, but its Sync has not been sent.
    world.writes.may_commit();
    world.writes.ready(Status::Transaction);
    assert_eq!(world.state(1), "dirty");
    world.writes.asks();
    world.writes.ready(Status::Idle);
    assert_eq!(world.state(1), "clean");
}

#[test]
fn what_a_transaction_wrote_is_out_of_date_when_it_ends_in_any_way() {
    let mut world = World::new();
    world.writes.begins(Status::Transaction);
    world.writes.touch(Touch::Relations(&[1]), 0);
    world.writes.asks();
    world.writes.ready(Status::Transaction);
    let before = world.generations.stamp(0, &[1]).unwrap();
    world.writes.begins(Status::Transaction);
    world.writes.asks();
    world.writes.ready(Status::Idle);
    assert_eq!(before.state(), Live::Stale);
    assert_eq!(world.state(1), "clean");
}

#[test]
fn a_lost_outcome_stays_dirty_until_its_backend_is_gone() {
    let mut world = World::new();
    world.writes.begins(Status::Idle);
    world.writes.touch(Touch::Relations(&[1]), 0);
    world.writes.asks();
    world.writes = Writes::new(Arc::clone(&world.generations), 8);
    assert_eq!(world.generations.lost(), [7]);
    assert_eq!(world.state(1), "dirty");
    world.generations.bury(7);
    assert_eq!(world.state(1), "clean");
}

#[test]
fn a_set_of_an_old_catalog_is_a_write_of_everything() {
    let mut world = World::new();
    world.writes.begins(Status::Transaction);
    world.writes.touch(Touch::Relations(&[1]), 0);
    world.writes.asks();
    world.writes.ready(Status::Transaction);
    world.generations.bump_epoch();
    world.writes.begins(Status::Transaction);
    world.writes.may_commit();
    assert_eq!(world.state(2), "dirty");
}

#[test]
fn a_prepared_transaction_is_in_doubt_until_somebody_ends_it() {
    let mut world = World::new();
    world.writes.begins(Status::Transaction);
    world.writes.touch(Touch::Relations(&[1]), 0);
    world.writes.asks();
    world.writes.ready(Status::Transaction);
    world.writes.begins(Status::Transaction);
    world.writes.may_commit();
    world.writes.asks();
    world.writes.prepared(b"x");
    world.writes.ready(Status::Idle);
    assert_eq!(world.state(1), "dirty");
    assert_eq!(world.generations.prepared_gids(), [b"x"[..].into()]);
    world.generations.finish_prepared(b"x");
    assert_eq!(world.state(1), "clean");
}

#[test]
fn too_many_relations_are_everything() {
    let mut world = World::new();
    let many: Vec<u32> = (1..=1_001).collect();
    world.writes.begins(Status::Idle);
    world.writes.touch(Touch::Relations(&many), 0);
    assert_eq!(world.state(5_000), "dirty");
}

/// A query of ours goes first (settings), then a BEGIN that was held back, then the client's write: the
/// first answer, which comes outside of any block, says nothing of the others.
#[test]
fn an_answer_before_the_block_does_not_settle_what_the_block_writes() {
    let mut world = World::new();
    world.writes.asks();
    world.writes.asks();
    world.writes.begins(Status::Transaction);
    world.writes.touch(Touch::Relations(&[1]), 0);
    world.writes.asks();
    world.writes.ready(Status::Idle);
    world.writes.ready(Status::Transaction);
    world.writes.ready(Status::Transaction);
    let before = world.generations.stamp(0, &[1]).unwrap();
    world.writes.begins(Status::Transaction);
    world.writes.may_commit();
    assert_eq!(world.state(1), "dirty");
    world.writes.asks();
    world.writes.ready(Status::Idle);
    assert_eq!(world.state(1), "clean");
    assert_eq!(before.state(), Live::Stale);
}

/// The commit goes out before the block's write is answered.
#[test]
fn a_commit_in_a_pipeline_covers_what_is_not_answered_yet() {
    let mut world = World::new();
    world.writes.asks();
    world.writes.begins(Status::Transaction);
    world.writes.touch(Touch::Relations(&[1]), 0);
    world.writes.asks();
    world.writes.may_commit();
    assert_eq!(world.state(1), "dirty");
    world.writes.asks();
    let before = world.generations.stamp(0, &[2]).unwrap();
    for status in [Status::Transaction, Status::Transaction] {
        world.writes.ready(status);
        assert_eq!(world.state(1), "dirty");
    }
    world.writes.ready(Status::Idle);
    assert_eq!(world.state(1), "clean");
    assert_eq!(before.state(), Live::Live);
}

#[test]
fn what_code_wrote_is_everything_until_the_server_tells() {
    let mut world = World::new();
    world.writes.begins(Status::Transaction);
    world.writes.touch(Touch::Unseen, 0);
    assert!(world.writes.can_be_narrowed(Moment::Commit));
    assert!(!world.writes.can_be_narrowed(Moment::Sync));
    let stamp = |oid| world.generations.stamp(0, &[oid]).unwrap();
    let (one, two) = (stamp(1), stamp(2));
    // The question, and COMMIT behind it.
    world.writes.asks();
    world.writes.may_commit();
    world.writes.asks();
    assert_eq!((world.state(1), world.state(2)), ("dirty", "dirty"));
    world.writes.narrow(1, &[1]);
    assert_eq!((world.state(1), world.state(2)), ("dirty", "clean"));
    world.writes.ready(Status::Transaction);
    assert_eq!(world.state(1), "dirty");
    world.writes.ready(Status::Idle);
    assert_eq!((world.state(1), world.state(2)), ("clean", "clean"));
    assert_eq!((one.state(), two.state()), (Live::Stale, Live::Live));
}

#[test]
fn what_is_everything_for_another_reason_is_not_narrowed() {
    let mut world = World::new();
    let two = world.generations.stamp(0, &[2]).unwrap();
    world.writes.begins(Status::Idle);
    world.writes.touch(Touch::Unseen, 0);
    assert!(world.writes.can_be_narrowed(Moment::Sync));
    world.writes.touch(Touch::Everything, 0);
    assert!(!world.writes.can_be_narrowed(Moment::Sync));
    world.writes.asks();
    world.writes.narrow(0, &[1]);
    assert_eq!(world.state(2), "dirty");
    world.writes.ready(Status::Idle);
    assert_eq!(two.state(), Live::Stale);
}

#[test]
fn behind_a_rollback_anything_may_commit() {
    let mut world = World::new();
    world.writes.begins(Status::Transaction);
    world.writes.touch(Touch::Relations(&[1]), 0);
    world.writes.may_end();
    world.writes.asks();
    assert_eq!(world.state(1), "clean");
    world.writes.touch(Touch::Relations(&[2]), 0);
    world.writes.asks();
    assert_eq!(world.state(2), "dirty");
    world.writes.ready(Status::Idle);
    assert_eq!(world.state(2), "dirty");
    world.writes.ready(Status::Idle);
    assert_eq!(world.state(2), "clean");
}

#[test]
fn what_is_unseen_behind_a_commit_is_not_what_the_locks_before_it_told() {
    let mut world = World::new();
    world.writes.begins(Status::Transaction);
    world.writes.touch(Touch::Unseen, 0);
    assert!(world.writes.can_be_narrowed(Moment::Commit));
    world.writes.may_commit();
    world.writes.touch(Touch::Unseen, 0);
    world.writes.asks();
    world.writes.narrow(0, &[1]);
    assert_eq!(world.state(2), "dirty");
    let before = world.generations.stamp(0, &[]);
    assert!(before.is_none());
    world.writes.ready(Status::Idle);
    assert_eq!(world.state(2), "clean");
}

#[test]
fn what_the_server_ignores_is_answered_with_the_next() {
    let mut world = World::new();
    world.writes.begins(Status::Idle);
    world.writes.touch(Touch::Relations(&[1]), 0);
    world.writes.asks();
    world.writes.asks();
    world.writes.touch(Touch::Relations(&[2]), 0);
    world.writes.asks();
    // The first of the three will not be answered.
    world.writes.unanswered(1);
    world.writes.ready(Status::Idle);
    assert_eq!((world.state(1), world.state(2)), ("clean", "dirty"));
    world.writes.ready(Status::Idle);
    assert_eq!(world.state(2), "clean");
    // Nor will this, and nothing has been sent behind it yet.
    world.writes.touch(Touch::Relations(&[1]), 0);
    world.writes.asks();
    world.writes.unanswered(1);
    assert_eq!(world.state(1), "dirty");
    world.writes.asks();
    world.writes.ready(Status::Idle);
    assert_eq!(world.state(1), "clean");
}
