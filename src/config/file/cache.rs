//! What `[cache]` has beyond plain values: declared functions and triggers, and the rules.

use toml::Spanned;
use toml::de::DeValue;

use super::{At, File, Known, Reader};
use crate::config::cache::Effects;
use crate::config::origin::{ConfigError, Origin};
use crate::config::table;

/// One line of `[cache.functions]` or `[cache.triggers]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct Declared {
    pub(in crate::config) name: String,
    pub(in crate::config) origin: Origin,
    pub(in crate::config) effects: Effects,
}

/// Whether it is a function, whose result may be of use, or a trigger, which has none.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Function,
    Trigger,
}

/// The keys of a declaration.
const EFFECTS: [&str; 2] = ["writes", "reads"];

impl What {
    fn form(self) -> &'static str {
        match self {
            Self::Function => {
                r#"write "pure", or the tables in { writes = ["..."], reads = ["..."] }"#
            }
            Self::Trigger => r#"write "pure", or the tables in { writes = ["..."] }"#,
        }
    }
}

impl Reader<'_> {
    pub(super) fn cache(
        &self,
        (span, value): At<'_, '_>,
        known: &Known,
        file: &mut File,
    ) -> Result<(), ConfigError> {
        let DeValue::Table(table) = value.get_ref() else {
            return self.walk("cache", (span, value), known, &mut file.values);
        };
        for (key, value) in table {
            let at = (key.span(), value);
            match key.get_ref().as_ref() {
                "functions" => {
                    self.declared("cache.functions", at, What::Function, &mut file.functions)?;
                }
                "triggers" => {
                    self.declared("cache.triggers", at, What::Trigger, &mut file.triggers)?;
                }
                "rules" => self.rules(value, file)?,
                name => {
                    let name = format!("cache.{name}");
                    self.walk(&name, at, known, &mut file.values)?;
                }
            }
        }
        Ok(())
    }

    fn declared(
        &self,
        section: &str,
        (span, value): At<'_, '_>,
        what: What,
        into: &mut Vec<Declared>,
    ) -> Result<(), ConfigError> {
        let DeValue::Table(table) = value.get_ref() else {
            let advice = format!("write name = ... below [{section}]");
            return Err(self.error(span, section, "not a table", &advice));
        };
        for (key, value) in table {
            let name = key.get_ref().to_string();
            let origin = self.origin(key.span());
            // `app.f = ...` without quotes is a table `app` to TOML.
            let schema = value
                .get_ref()
                .as_table()
                .filter(|table| !EFFECTS.iter().any(|key| table.contains_key(*key)));
            let Some(schema) = schema else {
                let effects = self.effects(&format!("{section}.{name}"), value, what)?;
                into.push(Declared {
                    name,
                    origin,
                    effects,
                });
                continue;
            };
            if schema.is_empty() {
                let name = format!("{section}.{name}");
                return Err(self.error(key.span(), &name, "nothing is declared", what.form()));
            }
            for (second, value) in schema {
                let name = format!("{name}.{}", second.get_ref());
                let effects = self.effects(&format!("{section}.{name}"), value, what)?;
                into.push(Declared {
                    name,
                    origin: self.origin(second.span()),
                    effects,
                });
            }
        }
        Ok(())
    }

    fn effects(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        what: What,
    ) -> Result<Effects, ConfigError> {
        if value.get_ref().as_str() == Some("pure") {
            return Ok(Effects::pure());
        }
        let table = value.get_ref().as_table().filter(|table| !table.is_empty());
        let Some(table) = table else {
            return Err(self.error(value.span(), key, "not a declaration", what.form()));
        };
        let mut effects = Effects {
            writes: Vec::new(),
            reads: None,
        };
        for (name, value) in table {
            match name.get_ref().as_ref() {
                "writes" => effects.writes = self.names(key, value)?,
                "reads" if what == What::Function => effects.reads = Some(self.names(key, value)?),
                other => {
                    let key = format!("{key}.{other}");
                    return Err(self.error(name.span(), &key, "unknown key", what.form()));
                }
            }
        }
        Ok(effects)
    }

    fn names(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Result<Vec<String>, ConfigError> {
        let names = value.get_ref().as_array().and_then(|items| {
            let names = items.iter().map(|item| item.get_ref().as_str());
            names
                .map(|name| name.filter(|name| !name.is_empty()).map(str::to_owned))
                .collect()
        });
        names.ok_or_else(|| {
            let form = r#"write them as ["table", "schema.table"]"#;
            self.error(value.span(), key, "not a list of tables", form)
        })
    }

    fn rules(&self, value: &Spanned<DeValue<'_>>, file: &mut File) -> Result<(), ConfigError> {
        let DeValue::Array(items) = value.get_ref() else {
            let form = "write each rule under its own [[cache.rules]]";
            return Err(self.error(value.span(), "cache.rules", "not a list of tables", form));
        };
        for (at, item) in items.iter().enumerate() {
            let number = (at + 1).to_string();
            let known = Known::of(table::RULE, &format!("cache.rules.{number}"));
            let mut section = self.section(item, &known)?;
            section.name = number;
            file.rules.push(section);
        }
        Ok(())
    }
}
