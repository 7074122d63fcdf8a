package sqlite

import (
	"errors"
	"time"

	"github.com/countersign-io/countersign/authz"
	store "github.com/countersign-io/countersign/authz/sqlite"
)

const (
	// maxList bounds the JSON text of a record's permissions or objects, in bytes.
	maxList = 1 << 20
	// maxSeconds is the end of the year 9999, the last that RFC 3339 can write. An
	// expiry in milliseconds lies far beyond it.
	maxSeconds = 253402300799
)

// Faults of a row. Their texts hold nothing of it.
var (
	errText        = errors.New("sqlite: the row's id, status, client or subject is not text")
	errExpiry      = errors.New("sqlite: the row's expires_at is neither RFC 3339 text nor whole seconds since 1970")
	errPermissions = errors.New("sqlite: the row's permissions are not a JSON array of strings")
	errObjects     = errors.New(`sqlite: the row's objects are not a JSON array of {"type": …, "id": …}`)
)

// read reads a row of the form's columns.
func read(row []any) (*authz.Consent, error) {
	id, status, client, subject, expires, permissions, objects := row[0], row[1], row[2], row[3], row[4], row[5], row[6]
	var record authz.Consent
	var texts [3]string
	for i, value := range []any{id, client, subject} {
		var ok bool
		if texts[i], ok = store.Name(value); !ok {
			return nil, errText
		}
	}
	record.ID, record.Client, record.Subject = authz.ConsentID(texts[0]), authz.ClientID(texts[1]), authz.Subject(texts[2])
	var err error
	var ok bool
	if record.Status, ok = status.(string); !ok {
		return nil, errText
	}
	if record.ExpiresAt, record.OpenEnded, err = expiry(expires); err != nil {
		return nil, err
	}
	if record.Permissions, err = permissionList(permissions); err != nil {
		return nil, err
	}
	if record.Objects, err = objectList(objects); err != nil {
		return nil, err
	}
	return &record, nil
}

func expiry(value any) (at time.Time, openEnded bool, err error) {
	switch v := value.(type) {
	case nil:
		return time.Time{}, true, nil
	case int64:
		// Zero and less are how some write "none" or "not yet": not guessed at.
		if v > 0 && v <= maxSeconds {
			return time.Unix(v, 0).UTC(), false, nil
		}
	case string:
		if at, err := time.Parse(time.RFC3339, v); err == nil {
			return at.UTC(), false, nil
		}
	}
	return time.Time{}, false, errExpiry
}

func permissionList(value any) ([]string, error) {
	elements, ok := list(value, 1)
	if !ok {
		return nil, errPermissions
	}
	permissions := make([]string, len(elements))
	for i, element := range elements {
		if permissions[i], ok = element.(string); !ok {
			return nil, errPermissions
		}
	}
	return permissions, nil
}

func objectList(value any) ([]authz.Object, error) {
	elements, ok := list(value, 2)
	if !ok {
		return nil, errObjects
	}
	objects := make([]authz.Object, len(elements))
	for i, element := range elements {
		members, _ := element.(map[string]any)
		objectType, isText := members["type"].(string)
		id, isTextToo := members["id"].(string)
		if !isText || !isTextToo || len(members) != 2 {
			return nil, errObjects
		}
		objects[i] = authz.Object{Type: authz.ObjectType(objectType), ID: authz.ObjectID(id)}
	}
	return objects, nil
}

// list reads a JSON array of at most that depth. NULL is an empty one.
func list(value any, depth int) ([]any, bool) {
	if value == nil {
		return nil, true
	}
	text, ok := value.(string)
	if !ok || len(text) > maxList {
		return nil, false
	}
	parsed, err := authz.ParseJSON([]byte(text), depth)
	if err != nil {
		return nil, false
	}
	elements, ok := parsed.([]any)
	return elements, ok
}
