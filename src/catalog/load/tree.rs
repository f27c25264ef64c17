//! Stored queries and expressions (`pg_node_tree`), read for the numbers of what they use.

use crate::catalog::facts::Stored;

/// What the tree `text` uses. The format is the server's own (`nodes/outfuncs.c`): nodes in
/// braces with their name first, fields as `:name value`, blanks within values escaped.
pub(super) fn scan(text: &str, stored: &mut Stored) {
    let mut tokens = Tokens(text);
    // The names of the nodes that are open.
    let mut nodes: Vec<&str> = Vec::new();
    let mut field = "";
    while let Some(token) = tokens.next() {
        match token {
            "{" => {
                let name = tokens.next().unwrap_or_default();
                node(name, stored);
                nodes.push(name);
                field = "";
            }
            "}" => {
                nodes.pop();
                field = "";
            }
            "(" | ")" => {}
            _ if token.starts_with(':') => field = token.get(1..).unwrap_or_default(),
            _ if field.is_empty() => {}
            _ => {
                let list = matches!(field, "opnos" | "funccoltypes" | "coltypes");
                if let Ok(oid) = token.parse::<u32>()
                    && oid != 0
                {
                    number(
                        nodes.last().copied().unwrap_or_default(),
                        field,
                        oid,
                        stored,
                    );
                }
                if !list {
                    field = "";
                }
            }
        }
    }
}

/// Nodes that mean something by being there.
fn node(name: &str, stored: &mut Stored) {
    match name {
        "NEXTVALUEEXPR" | "TABLESAMPLECLAUSE" | "ROWMARKCLAUSE" | "CURRENTOFEXPR" => {
            stored.odd.volatile = true;
        }
        _ => {}
    }
}

/// A field whose value is the number of an object.
fn number(node: &str, field: &str, oid: u32, stored: &mut Stored) {
    match field {
        "relid" => stored.relations.push(oid),
        "funcid" | "opfuncid" | "hashfuncid" | "negfuncid" | "aggfnoid" | "winfnoid"
        | "startInRangeFunc" | "endInRangeFunc" => stored.functions.push(oid),
        "opno" | "opnos" | "sortop" | "eqop" => stored.operators.push(oid),
        "resulttype" if matches!(node, "COERCEVIAIO" | "COERCETODOMAIN") => {
            stored.read_as.push(oid);
        }
        // JSON_VALUE and its like read text as what they return.
        "typid" if node == "JSONRETURNING" => stored.listed.push(oid),
        "funccoltypes" => stored.listed.push(oid),
        // Other nodes have a field of this name for columns that are made already.
        "coltypes" if node == "TABLEFUNC" => stored.listed.push(oid),
        // `current_user` and its like are names; the others are clocks.
        "type" if node == "SQLVALUEFUNCTION" && oid == NAME => stored.odd.identity = true,
        "type" if node == "SQLVALUEFUNCTION" => stored.odd.volatile = true,
        "vartype" | "consttype" | "paramtype" | "aggtype" | "wintype" | "funcresulttype"
        | "opresulttype" | "resulttype" | "casetype" | "array_typeid" | "element_typeid"
        | "row_typeid" | "coalescetype" | "minmaxtype" | "refrestype" | "refcontainertype"
        | "refelemtype" | "typeId" => stored.types.push(oid),
        _ => {}
    }
}

/// The type `name`.
const NAME: u32 = 19;

/// The tokens of a tree: braces, parentheses, and what stands between blanks.
struct Tokens<'t>(&'t str);

impl<'t> Iterator for Tokens<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        let text = self.0.trim_start_matches([' ', '\n', '\t']);
        let first = *text.as_bytes().first()?;
        let length = match first {
            b'{' | b'}' | b'(' | b')' => 1,
            _ => word(text.as_bytes()),
        };
        let (token, rest) = text.split_at_checked(length)?;
        self.0 = rest;
        Some(token)
    }
}

/// How long the word is that `text` begins with: a backslash protects what follows.
fn word(text: &[u8]) -> usize {
    let mut length = 0;
    while let Some(&byte) = text.get(length) {
        match byte {
            b' ' | b'\n' | b'\t' | b'{' | b'}' | b'(' | b')' => break,
            b'\\' => length += 2,
            _ => length += 1,
        }
    }
    length.min(text.len())
}

#[cfg(test)]
mod tests {
    use super::{Stored, scan};

    #[test]
    fn a_tree_is_read_for_its_numbers() {
        let mut stored = Stored::default();
        let tree = r#"({QUERY :commandType 1 :rtable ({RTE :alias <> :eref {ALIAS :aliasname a\ {\:funcid\ 7 :colnames ("x\ y" "\:relid\ 9")} :rtekind 0 :relid 16384 :relkind r}) :targetList ({TARGETENTRY :expr {FUNCEXPR :funcid 871 :funcresulttype 25 :args ({COERCEVIAIO :arg {VAR :varno 1 :vartype 25} :resulttype 1082 :location 4}) :x [ 1 2 ]}} {ROWCOMPAREEXPR :opnos (o 97 98)})})"#;
        scan(tree, &mut stored);
        assert_eq!(stored.relations, [16384]);
        assert_eq!(stored.functions, [871]);
        assert_eq!(stored.operators, [97, 98]);
        assert_eq!(stored.types, [25, 25]);
        assert_eq!(stored.read_as, [1082]);
        assert_eq!(stored.odd, super::super::super::facts::Odd::default());
    }
}
