package archive

import (
	"errors"
	"fmt"
	"io"

	"github.com/therootcompany/xz"
)

// maxDictionary is how much memory, in bytes, the dictionary of an .xz may ask for: what xz -9 does.
const maxDictionary = 64 << 20

// newXz undoes xz; every block's dictionary is bounded.
func newXz(r io.Reader) (io.Reader, error) {
	x, err := xz.NewReader(r, maxDictionary)
	return &boundedXz{x}, tooLarge(err)
}

type boundedXz struct{ r io.Reader }

func (b *boundedXz) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	return n, tooLarge(err)
}

// tooLarge says what the library means by its limit.
func tooLarge(err error) error {
	if errors.Is(err, xz.ErrMemlimit) {
		return fmt.Errorf("xz: got a dictionary of more than %d bytes, want at most that, as xz -9 has it",
			maxDictionary)
	}
	return err
}
