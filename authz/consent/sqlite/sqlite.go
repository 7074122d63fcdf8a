// Package sqlite reads consent records from a SQLite file, by a query of the
// operator's own.
//
// The file is opened read-only and never made: whoever keeps the consents writes
// it, here it is only read. The id that is asked for reaches SQLite as a bound
// parameter alone, and a row that cannot be understood is an error.
//
// A file that is replaced by another, rather than written to, is noticed within a
// minute. A database in WAL mode needs its directory to be writable, or its -wal
// and -shm files to be there.
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
	// connections bound how many queries run at once; more wait.
	connections = 8
	// connectionLife bounds for how long a file that was replaced is still read.
	connectionLife = time.Minute
	// opening bounds the checks made when the file is opened.
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

// errTwo is a query that does not name one consent.
var errTwo = errors.New("sqlite: the query returns more than one row for one id")

// Engine asks one query of one file. It is safe for concurrent use.
type Engine struct {
	db     *sql.DB
	record *sql.Stmt
}

var _ authz.Consents = (*Engine)(nil)

// Open opens a file that is there, and prepares a query on it: one SELECT (or WITH
// … SELECT). Its error is authz.Problems of the keys "database" and "query".
//
// The query's one parameter is :id, and it must be used. Columns, by name, in any
// order:
//
//	id, client, subject  text or integer; must be there, never NULL
//	status               text; must be there, never NULL
//	expires_at           must be there: RFC 3339 text, or whole seconds since 1970;
//	                     NULL is a consent that is open ended
//	permissions          a JSON array of strings
//	objects              a JSON array of {"type": "account", "id": "22289"}
//
// Where permissions or objects are NULL or no column, the consent has none.
func Open(file, query string) (*Engine, error) {
	ctx, cancel := context.WithTimeout(context.Background(), opening)
	defer cancel()
	db, err := openFile(ctx, file)
	if err != nil {
		return nil, err
	}
	record, err := prepare(ctx, db, query)
	if err != nil {
		// What is wrong with the query matters more than how closing goes.
		_ = db.Close()
		return nil, err
	}
	return &Engine{db: db, record: record}, nil
}

// Close closes the file.
func (e *Engine) Close() error { return e.db.Close() }

// Consent returns the record of an id, or nil where the query returns no row.
func (e *Engine) Consent(ctx context.Context, id authz.ConsentID) (*authz.Consent, error) {
	rows, err := e.record.QueryContext(ctx, sql.Named("id", string(id)))
	if err != nil {
		return nil, fault(err)
	}
	defer rows.Close()
	var found *authz.Consent
	for rows.Next() {
		if found != nil {
			return nil, errTwo
		}
		if found, err = scan(rows); err != nil {
			return nil, err
		}
	}
	// What was read before a fault is no answer.
	if err := rows.Err(); err != nil {
		return nil, fault(err)
	}
	return found, nil
}

func openFile(ctx context.Context, file string) (*sql.DB, error) {
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
	return db, nil
}

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
