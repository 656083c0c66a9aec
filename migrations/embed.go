// Package migrations holds the database schema, one file a version, forward only.
package migrations

import "embed"

// FS holds the migrations, in the form goose reads.
//
//go:embed *.sql
var FS embed.FS
