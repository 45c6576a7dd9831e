package targets

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/rogpeppe/go-internal/testscript"
)

// signed COMPONENT makes a key, signs the component's archive, serves the signature, and has the stack name the key,
// whose fingerprint is $KEY from there on.
func signed(ts *testscript.TestScript, neg bool, args []string) {
	who, err := openpgp.NewEntity("Upstream", "", "upstream@example.invalid", nil)
	ts.Check(err)
	name := args[0] + "-fake.tar.gz"
	served := ts.MkAbs("served/" + name)
	data, err := os.ReadFile(served)
	ts.Check(err)
	var sig, key bytes.Buffer
	ts.Check(openpgp.ArmoredDetachSign(&sig, who, bytes.NewReader(data), nil))
	w, err := armor.Encode(&key, openpgp.PublicKeyType, nil)
	ts.Check(err)
	ts.Check(who.Serialize(w))
	ts.Check(w.Close())
	fingerprint := strings.ToUpper(fmt.Sprintf("%x", who.PrimaryKey.Fingerprint))
	ts.Setenv("KEY", fingerprint)
	file := ts.MkAbs("repo/vendor-sources/keys/" + fingerprint + ".asc")
	ts.Check(os.MkdirAll(filepath.Dir(file), 0o755))
	ts.Check(os.WriteFile(file, key.Bytes(), 0o644))
	ts.Check(os.WriteFile(served+".asc", sig.Bytes(), 0o644))
	toml := ts.MkAbs("repo/vendor-sources/fake.toml")
	stack, err := os.ReadFile(toml)
	ts.Check(err)
	url := fmt.Sprintf("url = %q\n", ts.Getenv("URL")+"/"+name)
	before, after, ok := strings.Cut(string(stack), url)
	if !ok {
		ts.Fatalf("no %q in the stack", url)
	}
	ts.Check(os.WriteFile(toml, []byte(before+url+"signed_by = \""+fingerprint+"\"\n"+after), 0o644))
}
