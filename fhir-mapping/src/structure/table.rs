//! The R4 element table, read once from `definitions/structure.txt` (its header gives the format).

use std::collections::HashMap;
use std::sync::LazyLock;

use super::primitive::Primitive;

/// The definitions, built at first use.
pub(crate) fn table() -> &'static Table {
    static TABLE: LazyLock<Table> = LazyLock::new(|| {
        let text = include_str!("../../definitions/structure.txt");
        Builder::read(text).unwrap_or_else(|line| panic!("structure.txt: cannot read {line:?}"))
    });
    &TABLE
}

pub(crate) struct Table {
    types: Vec<Type>,
    code_lists: Vec<Vec<&'static str>>,
    by_name: HashMap<&'static str, TypeIndex>,
    resources: HashMap<&'static str, TypeIndex>,
    resource_names: Vec<&'static str>,
    element: TypeIndex,
}

/// A place in the table's list of types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TypeIndex(usize);

/// A place in the table's list of code lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CodeListIndex(usize);

/// A resource, data type or backbone element.
#[derive(Debug, Default)]
pub(crate) struct Type {
    /// `Patient`, `HumanName`, `Patient.contact`.
    pub(crate) name: &'static str,
    /// The type it specialises: `DomainResource`, `Element`, `BackboneElement`; `-` for a root.
    pub(crate) base: &'static str,
    /// Sorted by JSON name; choices appear once for each of their types.
    elements: Vec<Element>,
    /// Name and slot of each element with a minimum.
    pub(crate) required: Vec<(&'static str, Slots)>,
}

/// A set of elements of one type, a bit each; the names of a choice share one bit.
pub(crate) type Slots = u128;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Element {
    /// As in JSON: `valueQuantity`.
    pub(crate) json_name: &'static str,
    /// As in FHIRPath: `value`.
    pub(crate) name: &'static str,
    /// One bit, higher for later elements: the order of the definitions, and so of XML.
    pub(crate) slot: Slots,
    pub(crate) is_choice: bool,
    pub(crate) is_array: bool,
    pub(crate) kind: Kind,
    /// As the definition names it: `markdown`, `Quantity`, `Patient.contact`.
    pub(crate) type_name: &'static str,
    /// The list its code must come from.
    pub(crate) codes: Option<CodeListIndex>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Primitive(Primitive),
    Complex(TypeIndex),
    /// Any resource, by its own `resourceType`.
    Resource,
}

impl Table {
    pub(crate) fn resource(&self, name: &str) -> Option<&Type> {
        self.type_at(*self.resources.get(name)?)
    }

    /// Any type: a resource, a data type or a backbone element.
    pub(crate) fn type_named(&self, name: &str) -> Option<&Type> {
        self.type_at(*self.by_name.get(name)?)
    }

    pub(crate) fn resource_names(&self) -> &[&'static str] {
        &self.resource_names
    }

    pub(crate) fn types(&self) -> impl Iterator<Item = &Type> {
        self.types.iter()
    }

    pub(crate) fn type_at(&self, index: TypeIndex) -> Option<&Type> {
        self.types.get(index.0)
    }

    /// The type of a primitive's `_` companion: id and extensions.
    pub(crate) fn companion(&self) -> Option<&Type> {
        self.type_at(self.element)
    }

    pub(crate) fn has_code(&self, list: CodeListIndex, code: &str) -> bool {
        let list = self.code_lists.get(list.0);
        list.is_some_and(|codes| codes.binary_search(&code).is_ok())
    }
}

impl Type {
    pub(crate) fn element(&self, json_name: &str) -> Option<&Element> {
        let at = self
            .elements
            .binary_search_by(|e| e.json_name.cmp(json_name))
            .ok()?;
        self.elements.get(at)
    }

    /// The types of a choice, by its name in FHIRPath.
    pub(crate) fn choices(&self, name: &str) -> impl Iterator<Item = &Element> {
        let is_meant = move |e: &&Element| e.is_choice && e.name == name;
        self.elements.iter().filter(is_meant)
    }
}

/// One element line, before types are found by name.
struct Row {
    name: &'static str,
    card: &'static str,
    types: &'static str,
    codes: Option<&'static str>,
}

/// One type's lines.
struct Block {
    name: &'static str,
    base: &'static str,
    rows: Vec<Row>,
}

#[derive(Default)]
struct Builder {
    blocks: Vec<Block>,
    types: HashMap<&'static str, TypeIndex>,
    code_list_names: HashMap<&'static str, CodeListIndex>,
    code_lists: Vec<Vec<&'static str>>,
    resource_names: Vec<&'static str>,
}

impl Builder {
    fn read(text: &'static str) -> Result<Table, &'static str> {
        let mut builder = Builder::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            builder.line(line).ok_or(line)?;
        }
        builder.finish()
    }

    fn line(&mut self, line: &'static str) -> Option<()> {
        let mut words = line.split_ascii_whitespace();
        if line.starts_with(' ') {
            let row = Row {
                name: words.next()?,
                card: words.next()?,
                types: words.next()?,
                codes: words.next(),
            };
            self.blocks.last_mut()?.rows.push(row);
            return Some(());
        }
        let (kind, name) = (words.next()?, words.next()?);
        if kind == "V" {
            let mut codes: Vec<_> = words.collect();
            codes.sort_unstable();
            let index = CodeListIndex(self.code_lists.len());
            self.code_list_names.insert(name, index);
            self.code_lists.push(codes);
            return Some(());
        }
        if kind == "R" {
            self.resource_names.push(name);
        }
        self.types.insert(name, TypeIndex(self.blocks.len()));
        self.blocks.push(Block {
            name,
            base: words.next()?,
            rows: Vec::new(),
        });
        Some(())
    }

    fn finish(mut self) -> Result<Table, &'static str> {
        let types: Result<Vec<Type>, _> = self.blocks.iter().map(|b| self.build(b)).collect();
        self.resource_names.sort_unstable();
        let index = |name: &&'static str| Some((*name, *self.types.get(name)?));
        Ok(Table {
            types: types?,
            by_name: self.types.clone(),
            resources: self.resource_names.iter().filter_map(index).collect(),
            element: *self.types.get("Element").ok_or("Element")?,
            code_lists: self.code_lists,
            resource_names: self.resource_names,
        })
    }

    fn build(&self, block: &Block) -> Result<Type, &'static str> {
        let mut built = Type {
            name: block.name,
            base: block.base,
            ..Type::default()
        };
        let mut slot: Slots = 1;
        for row in self.with_bases(block)? {
            self.add(&mut built, row, slot).ok_or(row.name)?;
            slot = slot.checked_shl(1).filter(|s| *s != 0).ok_or(block.name)?;
        }
        built.elements.sort_unstable_by_key(|e| e.json_name);
        Ok(built)
    }

    /// The rows of a type, its base's first.
    fn with_bases<'a>(&'a self, block: &'a Block) -> Result<Vec<&'a Row>, &'static str> {
        let mut rows = match block.base {
            "-" => Vec::new(),
            base => {
                let index = self.types.get(base).ok_or(base)?;
                self.with_bases(self.blocks.get(index.0).ok_or(base)?)?
            }
        };
        rows.extend(&block.rows);
        Ok(rows)
    }

    fn add(&self, built: &mut Type, row: &Row, slot: Slots) -> Option<()> {
        let (is_array, is_required) = match row.card {
            "?" => (false, false),
            "1" => (false, true),
            "*" => (true, false),
            "+" => (true, true),
            _ => return None,
        };
        let name = row.name.trim_end_matches("[x]");
        let is_choice = name != row.name;
        if is_required {
            built.required.push((name, slot));
        }
        for type_name in row.types.split(',') {
            let json_name = if is_choice {
                choice_name(name, type_name)?
            } else {
                name
            };
            built.elements.push(Element {
                json_name,
                name,
                slot,
                is_choice,
                is_array,
                kind: self.kind(type_name)?,
                type_name,
                codes: match row.codes {
                    Some(list) => Some(*self.code_list_names.get(list)?),
                    None => None,
                },
            });
        }
        Some(())
    }

    fn kind(&self, type_name: &str) -> Option<Kind> {
        if type_name == "Resource" {
            return Some(Kind::Resource);
        }
        let primitive = Primitive::of(type_name).map(Kind::Primitive);
        primitive.or_else(|| self.types.get(type_name).copied().map(Kind::Complex))
    }
}

/// `value` and `dateTime` make `valueDateTime`. Leaked once: the table lives as long as the program.
fn choice_name(name: &str, type_name: &str) -> Option<&'static str> {
    let mut chars = type_name.chars();
    let first = chars.next()?.to_ascii_uppercase();
    Some(format!("{name}{first}{}", chars.as_str()).leak())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole() {
        let table = table();
        assert_eq!(table.resource_names().len(), 146);
        assert!(table.resource_names().is_sorted());
        assert!(table.resource("Resource").is_none() && table.resource("HumanName").is_none());
        assert!(table.types.len() > 600, "{} types", table.types.len());
        assert!(table.code_lists.len() > 180, "{}", table.code_lists.len());
        for built in &table.types {
            let names: Vec<_> = built.elements.iter().map(|e| e.json_name).collect();
            assert!(
                names.is_sorted_by(|a, b| a < b),
                "twice the same: {names:?}"
            );
        }
    }

    #[test]
    fn elements_are_found() {
        let patient = table().resource("Patient").unwrap();
        let name = |json: &str| patient.element(json).map(|e| (e.name, e.is_array));
        assert_eq!(name("deceasedDateTime"), Some(("deceased", false)));
        assert_eq!(name("name"), Some(("name", true)));
        assert_eq!(name("deceased"), None);
        assert_eq!(name("contained"), Some(("contained", true)));
        let gender = patient.element("gender").unwrap().codes.unwrap();
        assert!(table().has_code(gender, "female") && !table().has_code(gender, "femal"));
    }

    #[test]
    fn a_broken_line_is_named() {
        let read = |text: &'static str| Builder::read(text).err();
        assert_eq!(read("C Element -\n id ? strong\n"), Some("id"));
        assert_eq!(read("C Element -\n id 3..4 string\n"), Some("id"));
        assert_eq!(read("C Element\n"), Some("C Element"));
    }
}
