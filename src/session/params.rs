//! Parameters of `SELECT set_config($1, $2, false)`: read from the Bind that gives them.

use std::sync::Arc;

use crate::sql::effect::{Effect, Statement, Value};
use crate::wire::frame::{split_i32, split_u16};

/// The statements with the values of a Bind in place of parameters. `values` is Bind's body behind
/// the two names. A parameter in binary is text all the same, since both arguments are of type text;
/// one that is NULL, or cannot be read, stays a parameter, and pins.
pub(super) fn fill_in(work: Arc<[Statement]>, values: &[u8]) -> Arc<[Statement]> {
    let has_params = |effect: &Effect| {
        matches!(
            effect,
            Effect::SetConfig {
                name: Value::Param(_),
                ..
            } | Effect::SetConfig {
                value: Value::Param(_),
                ..
            }
        )
    };
    if !work.iter().flat_map(|s| s.effects.iter()).any(has_params) {
        return work;
    }
    let fill = |value: &mut Value| {
        if let Value::Param(number) = value
            && let Some(text) = parameter(values, usize::from(*number))
        {
            *value = Value::Text(text.into());
        }
    };
    let mut statements = work.to_vec();
    for effect in statements.iter_mut().flat_map(|s| s.effects.iter_mut()) {
        if let Effect::SetConfig { name, value, .. } = effect {
            fill(name);
            fill(value);
        }
    }
    statements.into()
}

/// The `number`th parameter, counted from 1 (protocol manual, "Bind").
fn parameter(values: &[u8], number: usize) -> Option<&[u8]> {
    let (formats, rest) = split_u16(values)?;
    let rest = rest.get(usize::from(formats) * 2..)?;
    let (count, mut rest) = split_u16(rest)?;
    for index in 1..=usize::from(count) {
        let (length, after) = split_i32(rest)?;
        let Ok(length) = usize::try_from(length) else {
            // NULL.
            if index == number {
                return None;
            }
            rest = after;
            continue;
        };
        let (value, after) = after.split_at_checked(length)?;
        if index == number {
            return Some(value);
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: &[u8] = b"\0\x01\0\0\0\x03\0\0\0\x05app.x\xff\xff\xff\xff\0\0\0\x03red\0\0";

    #[test]
    fn parameters_are_found_by_number() {
        assert_eq!(parameter(VALUES, 1), Some(&b"app.x"[..]));
        assert_eq!(parameter(VALUES, 2), None);
        assert_eq!(parameter(VALUES, 3), Some(&b"red"[..]));
        assert_eq!(parameter(VALUES, 4), None);
        for cut in 0..VALUES.len() {
            parameter(&VALUES[..cut], 3);
        }
    }

    #[test]
    fn set_config_gets_its_values() {
        let work: Arc<[Statement]> = Arc::from([Statement {
            effects: Box::new([Effect::SetConfig {
                name: Value::Param(1),
                value: Value::Param(3),
                local: false,
            }]),
            hidden: None,
        }]);
        let filled = fill_in(work, VALUES);
        assert_eq!(
            filled[0].effects[0],
            Effect::SetConfig {
                name: Value::Text(b"app.x".as_slice().into()),
                value: Value::Text(b"red".as_slice().into()),
                local: false,
            }
        );
    }
}
