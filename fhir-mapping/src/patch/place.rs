//! Places in a resource as JSON has them, and changing what is there: primitives take their `_`
//! companions (ids and extensions) along.

use crate::model::Json;

/// From the resource down.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Place(Vec<Leg>);

#[derive(Clone, Debug, PartialEq)]
enum Leg {
    Name(String),
    Index(usize),
}

/// Whose element a place is: the innermost resource's type, and JSON names from there.
pub(super) struct Scope<'a> {
    pub(super) resource_type: &'a str,
    pub(super) names: Vec<&'a str>,
}

impl Place {
    pub(super) fn member(&self, name: &str) -> Place {
        let mut legs = self.0.clone();
        legs.push(Leg::Name(name.to_owned()));
        Place(legs)
    }

    pub(super) fn item(&self, index: usize) -> Place {
        let mut legs = self.0.clone();
        legs.push(Leg::Index(index));
        Place(legs)
    }

    /// The place above, and the name when that is an object's member.
    pub(super) fn parent(&self) -> Option<(Place, Option<&str>)> {
        let (last, legs) = self.0.split_last()?;
        let name = match last {
            Leg::Name(name) => Some(name.as_str()),
            Leg::Index(_) => None,
        };
        Some((Place(legs.to_vec()), name))
    }

    /// The index, for an item of a list.
    fn index(&self) -> Option<usize> {
        match self.0.last()? {
            Leg::Name(_) => None,
            Leg::Index(at) => Some(*at),
        }
    }

    pub(super) fn get<'a>(&self, root: &'a Json) -> Option<&'a Json> {
        self.0.iter().try_fold(root, |node, leg| match leg {
            Leg::Name(name) => node.get(name),
            Leg::Index(at) => node.as_array()?.get(*at),
        })
    }

    pub(super) fn get_mut<'a>(&self, root: &'a mut Json) -> Option<&'a mut Json> {
        self.0.iter().try_fold(root, |node, leg| match leg {
            Leg::Name(name) => node.get_mut(name),
            Leg::Index(at) => node.as_array_mut()?.get_mut(*at),
        })
    }

    pub(super) fn scope<'a>(&'a self, root: &'a Json) -> Scope<'a> {
        let mut scope = Scope {
            resource_type: root.resource_type().unwrap_or_default(),
            names: Vec::new(),
        };
        let mut node = Some(root);
        for leg in &self.0 {
            node = match leg {
                Leg::Name(name) => {
                    scope.names.push(name);
                    node.and_then(|node| node.get(name))
                }
                Leg::Index(at) => node.and_then(|node| node.as_array()?.get(*at)),
            };
            if let Some(inner) = node.and_then(Json::resource_type) {
                scope.resource_type = inner;
                scope.names.clear();
            }
        }
        scope
    }

    /// Takes the value away, out of its list or object.
    pub(super) fn remove(&self, root: &mut Json) -> Option<()> {
        let (above, name) = self.parent()?;
        match (name, self.index()) {
            (Some(name), _) => {
                let object = above.get_mut(root)?.as_object_mut()?;
                object.remove(&companion_of(name));
                object.remove(name).map(drop)
            }
            (None, Some(at)) => {
                if let Some(items) = above.companions_mut(root)
                    && at < items.len()
                {
                    items.remove(at);
                }
                let items = above.get_mut(root)?.as_array_mut()?;
                (at < items.len()).then(|| drop(items.remove(at)))
            }
            (None, None) => None,
        }
    }

    /// Puts a value into the list here, which may have to be made. `None` when it has no such place.
    pub(super) fn insert(&self, root: &mut Json, at: usize, value: Json) -> Option<()> {
        let (above, name) = self.parent()?;
        let object = above.get_mut(root)?.as_object_mut()?;
        let name = name?;
        if object.get(name).is_none() {
            object.set(name, Json::array([]));
        }
        let items = object.get_mut(name)?.as_array_mut()?;
        if at > items.len() {
            return None;
        }
        items.insert(at, value);
        if let Some(items) = self.companions_mut(root)
            && at < items.len()
        {
            items.insert(at, Json::Null);
        }
        Some(())
    }

    /// How many are in the list here; none when it is not there.
    pub(super) fn len(&self, root: &Json) -> usize {
        self.get(root)
            .and_then(Json::as_array)
            .map_or(0, <[Json]>::len)
    }

    /// Moves an item within the list here.
    pub(super) fn shift(&self, root: &mut Json, (from, to): (usize, usize)) -> Option<()> {
        let length = self.len(root);
        if from >= length || to >= length {
            return None;
        }
        if let Some(items) = self.companions_mut(root) {
            let pad = length.saturating_sub(items.len());
            items.extend(std::iter::repeat_n(Json::Null, pad));
            let item = items.remove(from);
            items.insert(to, item);
        }
        let items = self.get_mut(root)?.as_array_mut()?;
        let item = items.remove(from);
        items.insert(to, item);
        Some(())
    }

    /// The list of companions beside the list of primitives here.
    fn companions_mut<'a>(&self, root: &'a mut Json) -> Option<&'a mut Vec<Json>> {
        let (above, name) = self.parent()?;
        let object = above.get_mut(root)?;
        object.get_mut(&companion_of(name?))?.as_array_mut()
    }
}

fn companion_of(name: &str) -> String {
    format!("_{name}")
}
