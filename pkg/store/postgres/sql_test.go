package postgres

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"postern/pkg/store/postgres/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// TestStatements prepares every statement of the package against the migrated schema: a slip in one is found without
// running its path. Statements are the constants and variables whose names begin with sql.
func TestStatements(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, pgtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx) //nolint:errcheck // the database is dropped
	for name, sql := range statements(t) {
		if _, err := conn.Prepare(ctx, "", sql); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func statements(t *testing.T) map[string]string {
	t.Helper()
	consts := make(map[string]ast.Expr)
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			for i, value := range v.Values {
				consts[v.Names[i].Name] = value
				if list, ok := value.(*ast.CompositeLit); ok && strings.HasPrefix(v.Names[i].Name, "sql") {
					for j, e := range list.Elts {
						consts[v.Names[i].Name+strconv.Itoa(j)] = e
					}
				}
			}
			return true
		})
	}
	found := make(map[string]string)
	for name, value := range consts {
		sql, ok := text(consts, value)
		if !strings.HasPrefix(name, "sql") || !ok {
			continue
		}
		q := byUIDs(sql)
		found[name] = q.one
		if q.many != q.one {
			found[name+" (ranges)"] = q.many
		}
	}
	for _, table := range accountTables {
		found["sqlEmpty "+table.name] = sqlEmpty(table.name)
	}
	if len(found) < 30 {
		t.Errorf("only %d statements found", len(found))
	}
	return found
}

// text is the value of a constant string expression: literals, names and +.
func text(consts map[string]ast.Expr, e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		return s, err == nil && e.Kind == token.STRING
	case *ast.Ident:
		value, ok := consts[e.Name]
		if !ok {
			return "", false
		}
		return text(consts, value)
	case *ast.BinaryExpr:
		x, okX := text(consts, e.X)
		y, okY := text(consts, e.Y)
		return x + y, okX && okY
	}
	return "", false
}
