// Package sqlite reads a user's SQLite file by a user's query, and nothing else.
//
// The file is opened read-only and never made: whoever keeps the records writes
// it, here it is only read. What a request says reaches SQLite as bound parameters
// alone, and a query is judged before it is first asked.
//
// A file that is replaced by another, rather than written to, is noticed within a
// minute. A database in WAL mode needs its directory to be writable, or its -wal
// and -shm files to be there.
//
// It is a way to a store and decides nothing: what a row means is for the engine
// that asks to say.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/countersign-io/countersign/authz"
	modernc "modernc.org/sqlite"
)

const (
	// connections bound how many queries run at once on a file; more wait.
	connections = 8
	// connectionLife bounds for how long a file that was replaced is still read.
	connectionLife = time.Minute
	// opening bounds the checks made when a file is opened or a query prepared.
	opening = 5 * time.Second
)

// options of every connection: read-only twice over, no wait for a writer that is
// longer than a request can bear, and a mistyped column is an error where SQLite
// would take "colunm" for a string.
var options = url.Values{
	"mode":          {"ro"},
	"_query_only":   {"1"},
	"_defensive":    {"1"},
	"_dqs":          {"0"},
	"_busy_timeout": {"100"},
}.Encode()

// Database is one SQLite file, which any number of queries share. It is safe for
// concurrent use.
type Database struct{ db *sql.DB }

// Open opens a file that is there. Its error is authz.Problems of the key "database".
func Open(file string) (*Database, error) {
	ctx, cancel := context.WithTimeout(context.Background(), opening)
	defer cancel()
	// Stat, and never os.Open: closing any descriptor of a file drops the locks
	// that SQLite holds on it.
	stat, err := os.Stat(file)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, problem("database", "there is no such file", "make the database first, it is only read here")
	case err != nil:
		return nil, problem("database", "cannot be read: "+err.Error(), "let this user read the file and its directory")
	case !stat.Mode().IsRegular():
		return nil, problem("database", "is not a regular file", "name the SQLite file itself")
	}
	source, err := dataSource(file)
	if err != nil {
		return nil, problem("database", "has no usable path: "+err.Error(), "write an absolute path")
	}
	connector, err := modernc.NewConnector(source)
	if err != nil {
		return nil, problem("database", "cannot be opened: "+err.Error(), "name a SQLite file")
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	db.SetConnMaxLifetime(connectionLife)
	// SQLite reads nothing of a file until it is asked something.
	var tables int
	if err := db.QueryRowContext(ctx, "select count(*) from sqlite_schema").Scan(&tables); err != nil {
		_ = db.Close()
		return nil, problem("database", "cannot be read: "+err.Error(), "name a SQLite file that this user may read")
	}
	return &Database{db: db}, nil
}

// Close closes the file and with it every query.
func (d *Database) Close() error { return d.db.Close() }

// dataSource names the file in a way in which nothing of its path is an option.
func dataSource(file string) (string, error) {
	path, err := filepath.Abs(file)
	if err != nil {
		return "", err
	}
	source := url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: options}
	return source.String(), nil
}

func problem(key, what, fix string) authz.Problems {
	return authz.Problems{{Key: key, What: what, Fix: fix}}
}

// ofStore reports an error of SQLite or of time, and not of the driver, which is
// who misses an argument.
func ofStore(err error) bool {
	var refused *modernc.Error
	return errors.As(err, &refused) || errors.Is(err, context.DeadlineExceeded)
}

// fault drops SQLite's message, which may quote a value of the request, and keeps
// its result code. Other errors, such as a context's, are wrapped as they are.
func fault(err error) error {
	var refused *modernc.Error
	if !errors.As(err, &refused) {
		return fmt.Errorf("sqlite: %w", err)
	}
	code := refused.Code()
	text, known := modernc.ErrorCodeString[code]
	if !known {
		text = modernc.ErrorCodeString[code&0xff]
	}
	return fmt.Errorf("sqlite: result code %d: %s", code, text)
}
