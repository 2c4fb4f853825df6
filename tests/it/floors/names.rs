//! Names of systems in rooms that know none.

use std::collections::BTreeSet;

use super::source::Source;

const NAMES: [&str; 5] = ["marzban", "pasarguard", "xui", "x-ui", "cliproxy"];
/// Rooms that are about systems.
const ROOMS: [&str; 2] = ["upstream", "simulator"];

/// What is wrong: program code that names a system outside `allowed`, which are files and reasons, and files of
/// `allowed` that name none. `System` itself, which `model` has, may name all.
pub(super) fn wrong(source: &Source, allowed: &[(&str, &str)]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut naming = BTreeSet::new();
    for (name, file) in &source.0 {
        let room = file.module.first().map_or("", |room| room);
        if ROOMS.contains(&room) {
            continue;
        }
        let of_system =
            [&["enum", "System", "{"], &["impl", "System", "{"]].map(|begin| file.lines_of(begin));
        for (number, line) in (1..).zip(file.text.split('\n')) {
            let line = line.to_lowercase();
            let Some(system) = NAMES.into_iter().find(|system| line.contains(system)) else { continue };
            if room == "model" && of_system.iter().flatten().any(|lines| lines.contains(&number)) {
                continue;
            }
            naming.insert(&**name);
            if !allowed.iter().any(|(file, _)| file == name) {
                wrong.push(format!("src/{name}:{number}: {room} may not name {system}"));
            }
        }
    }
    let idle = allowed.iter().filter(|(file, _)| !naming.contains(file));
    wrong.extend(idle.map(|(file, _)| format!("src/{file} names no system: take it from the list")));
    wrong
}
