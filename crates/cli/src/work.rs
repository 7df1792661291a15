//! Which pipelines a command is about: those of the file, and those that its families are over the tables there are.

use crate::{project, render::Printer};
use floodmark_config::{Family, Members, Project};
use floodmark_connect::destination::Ledger;
use floodmark_core::{Result, catalog::Catalog, pipeline::Pipeline};
use floodmark_engine::registry;
use std::collections::HashMap;

/// A pipeline to do something with.
pub(crate) struct Work {
    /// Its name; a family's, where it could not be told which tables that is.
    pub(crate) name: String,
    /// The pipeline, or why there is none.
    pub(crate) pipeline: Result<Pipeline>,
}

impl Work {
    pub(crate) fn of(pipeline: Pipeline) -> Work {
        Work { name: pipeline.name.clone(), pipeline: Ok(pipeline) }
    }

    /// The pipelines of a family.
    pub(crate) fn all(members: Members) -> Vec<Work> {
        members.all.into_iter().map(|member| Work { name: member.name, pipeline: member.pipeline }).collect()
    }
}

/// The pipelines and families named, in the order named, without repeats; all of the file where none is named. Only the
/// sources of families that are meant are asked for their tables. `told`: what was loaded once and is gone is said.
pub(crate) fn select(project: &Project, names: &[String], printer: &Printer, told: bool) -> Result<Vec<Work>> {
    let mut selection = Selection { project, printer, told, families: HashMap::new(), chosen: Vec::new() };
    if names.is_empty() {
        for at in 0..=project.pipelines.len() {
            project.families.iter().filter(|f| f.before == at).for_each(|family| selection.family(family));
            selection.chosen.extend(project.pipelines.get(at).cloned().map(Work::of));
        }
    }
    names.iter().try_for_each(|name| selection.named(name))?;
    Ok(selection.chosen)
}

struct Selection<'a> {
    project: &'a Project,
    printer: &'a Printer,
    told: bool,
    /// Families whose sources were asked, by name.
    families: HashMap<&'a str, Looked>,
    chosen: Vec<Work>,
}

/// A family whose source was asked for its tables.
struct Looked {
    /// What is not chosen yet.
    left: Vec<Work>,
    /// `None` where it gave no answer.
    catalog: Option<Catalog>,
}

impl<'a> Selection<'a> {
    fn named(&mut self, name: &str) -> Result<()> {
        if self.chosen.iter().any(|work| work.name == name) {
            return Ok(());
        }
        if let Some(pipeline) = self.project.pipelines.iter().find(|p| p.name == name) {
            self.chosen.push(Work::of(pipeline.clone()));
            return Ok(());
        }
        if let Some(family) = self.project.families.iter().find(|f| f.name == name) {
            self.family(family);
            return Ok(());
        }
        let Some(family) = self.project.families.iter().find(|f| f.owns(name)) else {
            return Err(project::unknown(self.project, name, &[]));
        };
        let members = &mut self.look(family).left;
        // A family that could not be looked into is there under its own name.
        match members.iter().position(|work| work.name == name || work.name == family.name) {
            Some(at) => {
                let work = members.remove(at);
                self.chosen.push(work);
                Ok(())
            }
            None => {
                let members: Vec<String> = members.iter().map(|work| work.name.clone()).collect();
                Err(project::unknown(self.project, name, &members))
            }
        }
    }

    /// What is not chosen yet of a family.
    fn family(&mut self, family: &'a Family) {
        let (printer, told) = (self.printer, self.told);
        let looked = self.look(family);
        let all = std::mem::take(&mut looked.left);
        if let (true, Some(catalog)) = (told, &looked.catalog) {
            family.gone(catalog, &remembered(family)).iter().for_each(|gone| printer.warning(gone));
        }
        self.chosen.extend(all);
    }

    fn look(&mut self, family: &'a Family) -> &mut Looked {
        let printer = self.printer;
        self.families.entry(&family.name).or_insert_with(|| match over_tables(family, printer) {
            Ok((catalog, members)) => Looked { left: Work::all(members), catalog: Some(catalog) },
            Err(error) => {
                let left = vec![Work { name: family.name.clone(), pipeline: Err(error) }];
                Looked { left, catalog: None }
            }
        })
    }
}

/// A family over the tables that its source has now.
pub(crate) fn over_tables(family: &Family, printer: &Printer) -> Result<(Catalog, Members)> {
    let catalog = registry::catalog(&family.source)?;
    let members = family.members(&catalog, &|name| remembered(family).iter().any(|known| known == name))?;
    for note in &members.notes {
        printer.warning(note);
    }
    Ok((catalog, members))
}

/// The pipelines that a family's destination knows; none where it cannot be asked, which a run of them will tell.
fn remembered(family: &Family) -> Vec<String> {
    let ledger = || -> Result<Option<Box<dyn Ledger>>> {
        let destination = registry::destination(&family.destination)?;
        if destination.exists() { destination.ledger().map(Some) } else { Ok(None) }
    };
    let known = ledger().and_then(|ledger| ledger.map_or(Ok(Vec::new()), |ledger| ledger.pipelines()));
    known.unwrap_or_default()
}
