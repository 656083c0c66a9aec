package postgres

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"postern/pkg/store/postgres/pgtest"
)

// wholeTables are the statements that may read a whole table: once in hours, or for an administrator, or a small one.
var wholeTables = []string{
	"sqlAccounts", "sqlAliases", "sqlForeignKey", "sqlSomeKey", "sqlStray0", "sqlStray1", "sqlStray2", "sqlStray3", "sqlOldJournals", "sqlSchemaVersion",
	"sqlOldDeliveries", "sqlOldExpunged",
	"sqlOthers",                             // processes, 1,023 at most
	"sqlBans", "sqlOldBans", "sqlOldPlaces", // few rows: bans in force, and a narrow one for each network an account logs in from
	"sqlReadOpened", // a row for each process
}

var seqScan = regexp.MustCompile(`Seq Scan on (\w+)`)

// TestPlans has every statement explained where whole tables are read only for want of an index: no statement may.
func TestPlans(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, pgtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx) //nolint:errcheck // the database is dropped
	settings := maps.Clone(byKey)
	settings["plan_cache_mode"] = "force_generic_plan"
	for name, value := range settings {
		if _, err := conn.Exec(ctx, `set `+name+` = `+value); err != nil {
			t.Fatal(err)
		}
	}
	explained := 0
	for name, sql := range statements(t) {
		plan := explain(t, conn, name, sql)
		if plan != "" {
			explained++
		}
		if m := seqScan.FindStringSubmatch(plan); m != nil && !slices.Contains(wholeTables, name) {
			t.Errorf("%s reads all of %s:\n%s", name, m[1], plan)
		}
	}
	if explained < 80 {
		t.Errorf("only %d statements explained", explained)
	}
}

// explain returns the plan of a statement that has one.
func explain(t *testing.T, conn *pgx.Conn, name, sql string) string {
	t.Helper()
	ctx := context.Background()
	verb, _, _ := strings.Cut(strings.TrimSpace(sql), " ")
	if !slices.Contains([]string{"select", "with", "insert", "update", "delete"}, strings.Fields(verb)[0]) {
		return ""
	}
	sd, err := conn.Prepare(ctx, name, sql)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	args := make([]string, len(sd.ParamOIDs))
	for i, oid := range sd.ParamOIDs {
		typ, ok := conn.TypeMap().TypeForOID(oid)
		if !ok {
			t.Fatalf("%s: type %d", name, oid)
		}
		args[i] = "null::" + typ.Name
	}
	return explainPrepared(t, conn, name, args)
}

// explainWith returns the plan of a statement with arguments.
func explainWith(t *testing.T, conn *pgx.Conn, name, sql string, args ...string) string {
	t.Helper()
	if _, err := conn.Prepare(t.Context(), name, sql); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return explainPrepared(t, conn, name, args)
}

func explainPrepared(t *testing.T, conn *pgx.Conn, name string, args []string) string {
	t.Helper()
	ctx := context.Background()
	call := fmt.Sprintf(`explain execute %q`, name)
	if len(args) > 0 {
		call += "(" + strings.Join(args, ", ") + ")"
	}
	rows, err := conn.Query(ctx, call, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return strings.Join(lines, "\n")
}
