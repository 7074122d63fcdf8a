package file

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// What would be appended to a file that was replaced meanwhile would be lost: who opened
// it before must open it again.
func TestAReplacedFileIsNotLocked(t *testing.T) {
	log := New(filepath.Join(t.TempDir(), "revocations"), nil)
	if err := log.Append(t.Context(), "past", time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	opened, err := open(log.path, os.O_RDWR)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	if err := log.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if locked, err := log.lock(opened); locked || err != nil {
		t.Errorf("lock() of the file before = %t, %v, want false", locked, err)
	}
	again, err := open(log.path, os.O_RDWR)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if locked, err := log.lock(again); !locked || err != nil {
		t.Errorf("lock() of the file now = %t, %v, want true", locked, err)
	}
}
