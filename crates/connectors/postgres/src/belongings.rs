//! What goes when a table is dropped, and is made again with the new one: indexes, triggers and grants.

use crate::{
    ddl::{Name, quote},
    failure::to,
    link::Db,
};
use floodmark_connect::crash::{self, Point};
use floodmark_core::{Code, Error, Result};

/// One of them, and the statement that makes it.
pub(crate) struct Belonging {
    kind: String,
    name: String,
    sql: String,
}

/// Those of a table, the indexes of its constraints apart, which come with the table itself.
pub(crate) fn of(db: &Db, name: &Name) -> Result<Vec<Belonging>> {
    let fail = to("read the table's indexes, triggers and grants");
    let rows = db
        .query(
            "WITH t AS (SELECT c.oid, c.relacl, c.relowner FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                        WHERE n.nspname = $1 AND c.relname = $2)
             SELECT 'index', x.relname::text, pg_get_indexdef(x.oid)
               FROM t JOIN pg_index i ON i.indrelid = t.oid JOIN pg_class x ON x.oid = i.indexrelid
               WHERE NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = x.oid)
             UNION ALL SELECT 'trigger', g.tgname::text, pg_get_triggerdef(g.oid)
               FROM t JOIN pg_trigger g ON g.tgrelid = t.oid WHERE NOT g.tgisinternal
             UNION ALL SELECT 'grant', concat(a.privilege_type, ' to ', w.who),
                 concat('GRANT ', a.privilege_type, ' ON ', $3::text, ' TO ', w.who,
                        CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' END)
               FROM t CROSS JOIN aclexplode(t.relacl) a CROSS JOIN LATERAL (
                 SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END) w(who)
               WHERE a.grantee <> t.relowner",
            &[&name.schema, &name.table, &name.to_string()],
        )
        .map_err(&fail)?;
    let read = |row: &tokio_postgres::Row| -> Result<Belonging, tokio_postgres::Error> {
        Ok(Belonging { kind: row.try_get(0)?, name: row.try_get(1)?, sql: row.try_get(2)? })
    };
    rows.iter().map(read).collect::<Result<_, _>>().map_err(fail)
}

/// Makes those again that the new table does not have by itself.
pub(crate) fn restore(db: &Db, name: &Name, belongings: &[Belonging]) -> Result<()> {
    if belongings.is_empty() {
        return Ok(());
    }
    let there = of(db, name)?;
    for lost in belongings.iter().filter(|b| !there.iter().any(|t| (&t.kind, &t.name) == (&b.kind, &b.name))) {
        crash::at(Point::Index, || {
            db.execute_batch(&lost.sql).map_err(|cause| {
                let drop = match lost.kind.as_str() {
                    "trigger" => format!("DROP TRIGGER {} ON {name}", quote(&lost.name)),
                    _ => format!("DROP {} {}", lost.kind.to_uppercase(), quote(&lost.name)),
                };
                Error::new(
                    Code::TableShape,
                    format!("{} {:?} of table {:?} does not fit the new one", lost.kind, lost.name, name.table),
                )
                .state("nothing was written, and the table is as it was")
                .help(format!("if it is not needed any more: {drop}"))
                .cause(to("make it again")(cause))
            })
        })?;
    }
    Ok(())
}
