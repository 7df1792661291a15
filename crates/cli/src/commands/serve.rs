//! `serve`: schedules, an API and pages over the pipelines of the file.

use super::{Context, Failure, explain, own_program};
use crate::{
    args::ServeArgs,
    env, project,
    render::{self, Printer},
    work::{self, Work},
};
use floodmark_config::{Lint, Project, Sheet, Written};
use floodmark_core::{
    Code, Error, Result,
    clock::{SharedClock, SystemClock},
};
use floodmark_server::{Arrival, Declarations, Declared, Options, Program};
use floodmark_trace::Traces;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, PoisonError},
};

/// `floodmark serve`
pub(super) fn serve(cx: &Context, args: &ServeArgs) -> Result<u8, Failure> {
    // Before anything is read into them.
    floodmark_server::huge_pages(false);
    // Its mistakes are told as every command tells them.
    let project = project::open(&cx.global)?;
    if args.test_alert {
        return test_alerts(cx, &project);
    }
    let file = std::path::absolute(&project.path).map_err(|e| Error::internal("there is no such folder").cause(e))?;
    let served = Served { file, program: own_program::find(cx)?, printer: cx.printer.clone(), sheet: Mutex::default() };
    let warned = cx.printer.clone();
    let options = Options {
        listen: args.listen,
        token: args.token_env.as_deref().map(token).transpose()?,
        hosts: args.host.clone(),
        jobs: usize::from(args.jobs),
        grace: args.grace,
        sandbox: !args.no_try,
        traces: Traces::from_env(&env::lookup, move |why| warned.warning(why)).map(Arc::new),
    };
    let printer = cx.printer.clone();
    let ready = move |address: std::net::SocketAddr| printer.note(&format!("serving at http://{address}"));
    floodmark_server::serve(options, Arc::new(served), Arc::new(SystemClock), &ready)?;
    Ok(0)
}

/// Sends a test to everybody, and says of each whether it arrived.
fn test_alerts(cx: &Context, project: &Project) -> Result<u8, Failure> {
    if project.alerts.is_empty() {
        return Err(Error::new(Code::BadArgument, "there is nobody under `alerts:` in the pipeline file")
            .help("name a webhook: alerts: { ops: { webhook: \"${SLACK_WEBHOOK}\" } }")
            .into());
    }
    let clock: SharedClock = Arc::new(SystemClock);
    let mut code = 0;
    let file = project.path.display().to_string();
    for (name, arrival) in floodmark_server::test_alerts(&project.alerts, &file, &clock) {
        code = if matches!(arrival, Arrival::Lost(_)) { 1 } else { code };
        render::arrived(&cx.printer, &name, &arrival)?;
    }
    Ok(code)
}

fn token(name: &str) -> Result<String> {
    env::lookup(name).filter(|token| !token.is_empty()).ok_or_else(|| {
        Error::new(Code::BadArgument, format!("the environment variable {name} holds no token"))
            .state("nothing was started")
            .help(format!("set it: export {name}=$(openssl rand -hex 32)"))
    })
}

/// This program with its pipeline file, for the server.
struct Served {
    file: PathBuf,
    program: Vec<OsString>,
    printer: Printer,
    /// The file as pages show it.
    sheet: Mutex<Sheet>,
}

impl Served {
    fn pipelines(&self, project: &Project) -> Result<Vec<Declared>> {
        let works = work::select(project, &[], &self.printer, false)?;
        Ok(works.into_iter().map(|work| declared(project, work)).collect())
    }
}

fn declared(project: &Project, work: Work) -> Declared {
    let alone = project.pipelines.iter().any(|pipeline| pipeline.name == work.name);
    let owns = |family: &&floodmark_config::Family| family.name == work.name || family.owns(&work.name);
    let family = project.families.iter().find(owns).filter(|_| !alone).map(|family| family.name.clone());
    Declared { name: work.name, family, pipeline: work.pipeline.map_err(|error| error.to_string()) }
}

impl Program for Served {
    fn file(&self) -> &Path {
        &self.file
    }

    fn declared(&self) -> Result<Declarations, String> {
        let project = Project::open(&self.file, &env::lookup).map_err(|mistakes| mistakes.render(false))?;
        let pipelines = self.pipelines(&project).map_err(|error| render::error::text(None, &error))?;
        Ok(Declarations { pipelines, alerts: project.alerts })
    }

    fn written(&self, pipeline: &str, lints: &[Lint]) -> Option<Written> {
        let mut sheet = self.sheet.lock().unwrap_or_else(PoisonError::into_inner);
        sheet.written(&self.file, &env::lookup, pipeline, lints)
    }

    fn page(&self, code: Code) -> Option<&'static str> {
        explain::page(code)
    }

    fn command(&self, file: &Path, arguments: &[String]) -> Command {
        let mut command = own_program::command(&self.program);
        // Before the arguments: after `--` there are names alone.
        command.arg("--file").arg(file).args(arguments);
        command
    }
}
