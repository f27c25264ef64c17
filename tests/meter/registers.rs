//! The registers: what tables hold them, through which names they are seen, and how writes reach them.

/// Rows of each kind; register number `2 * kind + key - 1`.
pub(crate) const KEYS: usize = 2;

/// How a write of this kind of register is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// All faces show the same row: any of those that can be written will do.
    Same,
    /// Two tables, written in one transaction, the first one first.
    Both,
    /// The first face is written; the database carries it over to the second (cascade, trigger, rule).
    Spread,
    /// A row more.
    Insert,
    /// Only by the client that changes the schema.
    Schema,
}

/// A kind of register.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) how: How,
    /// What stands behind FROM or UPDATE; `{k}` is the key.
    pub(crate) faces: &'static [&'static str],
    /// Faces that MERGE takes, from the first.
    pub(crate) merges: usize,
    /// Faces that INSERT ... ON CONFLICT takes.
    pub(crate) upserts: usize,
}

const fn kind(how: How, faces: &'static [&'static str], (merges, upserts): (usize, usize)) -> Kind {
    Kind {
        how,
        faces,
        merges,
        upserts,
    }
}

/// Kinds that any client may write; the others belong to the one that changes the schema.
pub(crate) const COMMON: usize = 8;

/// In this order the schema's own kinds come.
pub(crate) const KINDS: [Kind; COMMON + SCHEMA.len()] = [
    kind(How::Same, &["kv", "v_kv", "v_kv2"], (1, 2)),
    kind(How::Both, &["pa", "pb"], (2, 2)),
    kind(How::Same, &["pt", "pt_{k}"], (2, 2)),
    kind(How::Same, &["ih", "ih_c"], (2, 0)),
    kind(How::Spread, &["fa", "fb"], (1, 0)),
    kind(How::Spread, &["ta", "tb"], (1, 1)),
    kind(How::Spread, &["ra", "rb"], (0, 0)),
    kind(How::Insert, &["v_count", COUNT], (0, 0)),
    kind(How::Schema, &["sw"], (0, 0)),
    kind(How::Schema, &["cv"], (0, 0)),
    kind(How::Schema, &["ap"], (0, 0)),
    kind(How::Schema, &["dtd"], (0, 0)),
    kind(How::Schema, &["mv"], (0, 0)),
    kind(How::Schema, &["trn"], (0, 0)),
];

const COUNT: &str = "(select k, count(*) - 1 as v, 0::bigint as tag from lg group by k)";

/// Two tables change their names; a view is defined anew; a partition takes another's place; a trigger comes and
/// goes; a materialized view is refreshed; a table is emptied and filled.
pub(crate) const SCHEMA: [&str; 6] = ["sw", "cv", "ap", "dtd", "mv", "trn"];

/// Kind and key of a register.
pub(crate) fn of(register: usize) -> (&'static Kind, usize) {
    (&KINDS[register / KEYS], register % KEYS + 1)
}

/// One of the schema's own; they have key 1 only.
pub(crate) fn schema_register(name: &str) -> usize {
    let place = SCHEMA.iter().position(|face| *face == name).unwrap();
    (COMMON + place) * KEYS
}

/// All of them, by name.
pub(crate) fn names() -> impl Iterator<Item = String> {
    (0..KINDS.len() * KEYS).map(|register| {
        let (kind, key) = of(register);
        format!("{}[{key}]", kind.faces[0])
    })
}

/// What stands behind FROM or UPDATE.
pub(crate) fn face(register: usize, number: usize) -> String {
    let (kind, key) = of(register);
    kind.faces[number].replace("{k}", &key.to_string())
}

/// The tables, made by the role that uses them.
pub(crate) const TABLES: &str = "
create table kv (k int primary key, v bigint not null, tag bigint not null);
create view v_kv as select k, v, tag from kv;
create view v_kv2 as select * from v_kv where k < 100;
create table pa (like kv including all);
create table pb (like kv including all);
create table pt (k int primary key, v bigint not null, tag bigint not null) partition by list (k);
create table pt_1 partition of pt for values in (1);
create table pt_2 partition of pt for values in (2);
create table ih (like kv including all);
create table ih_c (primary key (k)) inherits (ih);
create table fa (k int, v bigint, tag bigint, primary key (k, v, tag));
create table fb (k int primary key, v bigint, tag bigint,
    foreign key (k, v, tag) references fa on update cascade);
create table ta (like kv including all);
create table tb (like kv including all);
create function carry() returns trigger language plpgsql as
    $$ begin update tb set v = new.v, tag = new.tag where k = new.k; return null; end $$;
create trigger carry after update on ta for each row execute function carry();
create table ra (like kv including all);
create table rb (like kv including all);
create rule carry as on update to ra do also update rb set v = rb.v + (new.v - old.v), tag = new.tag where k = old.k;
create table lg (k int, tag bigint);
create index on lg (k);
create view v_count as select k, count(*) - 1 as v, 0::bigint as tag from lg group by k;
insert into lg select k, 0 from generate_series(1, 2) k;
create table sw (like kv including all);
create table sw_hidden (like kv including all);
create table cv_1 (like kv including all);
create table cv_2 (like kv including all);
create view cv as select k, v, tag from cv_1;
create table ap (k int, v bigint, tag bigint) partition by list (k);
create table ap_1 partition of ap for values in (1);
create table ap_2 (k int, v bigint, tag bigint);
create table dts (like kv including all);
create table dtd (like kv including all);
create function carry_dtd() returns trigger language plpgsql as
    $$ begin update dtd set v = new.v, tag = new.tag where k = new.k; return null; end $$;
create table mvb (like kv including all);
create table trn (like kv including all);
insert into kv select k, 0, 0 from generate_series(1, 2) k;
insert into pa table kv; insert into pb table kv; insert into pt table kv; insert into ih_c table kv;
insert into fa table kv; insert into fb table kv; insert into ta table kv; insert into tb table kv;
insert into ra table kv; insert into rb table kv; insert into sw table kv; insert into sw_hidden table kv;
insert into cv_1 table kv; insert into cv_2 table kv; insert into ap select * from kv where k = 1;
insert into ap_2 select * from kv where k = 1; insert into dts table kv; insert into dtd table kv;
insert into mvb table kv; insert into trn table kv;
create materialized view mv as select k, v, tag from mvb;
create function bump(faces text[], k int, tag bigint) returns bigint language plpgsql as $$
    declare face text; found bigint;
    begin
        foreach face in array faces loop
            execute format('update %s set v = v + 1, tag = %s where k = %s returning v', face, tag, k) into found;
        end loop;
        return found;
    end $$;
create procedure bump_all(faces text[], k int, tag bigint) language plpgsql as
    $$ begin perform bump(faces, k, tag); end $$;
";
