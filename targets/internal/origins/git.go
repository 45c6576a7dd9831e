package origins

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"drydock/targets/internal/run"
	"drydock/targets/internal/stack"
	"drydock/targets/internal/ui"
)

// Git makes the archive of a git origin in dir, which is empty, and returns its path. GitHub's archives are, byte for
// byte, what "git archive" and gzip make of a tag; a gzip of another kind may make other bytes. The tag must be of the
// commit that the origin names, or it is an error; others have what git and gzip say.
func Git(ctx context.Context, o *stack.Origin, dir string) (string, error) {
	env := []string{"LC_ALL=C", "GIT_TERMINAL_PROMPT=0", "GIT_ALLOW_PROTOCOL=file:git:http:https:ssh"}
	for _, k := range []string{"PATH", "HOME", "SSH_AUTH_SOCK", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
		"http_proxy", "https_proxy", "no_proxy"} {
		if v, ok := os.LookupEnv(k); ok {
			env = append(env, k+"="+v)
		}
	}
	say := func(what string, argv ...string) (string, error) {
		out, err := run.Cmd{Argv: argv, Dir: dir, Env: env}.Output(ctx)
		if err == nil || ctx.Err() != nil {
			return strings.TrimSpace(out), err
		}
		var failed *run.Error
		if errors.As(err, &failed) {
			err = failed.Err
		}
		said := strings.Split(strings.TrimSpace(out), "\n")
		return "", fmt.Errorf("%s: %w: %s", what, err, ui.Masked(said[len(said)-1]))
	}
	git := func(args ...string) (string, error) {
		patient := []string{"git", "-c", "http.lowSpeedLimit=512", "-c", "http.lowSpeedTime=60"}
		return say("git", append(patient, args...)...)
	}
	if _, err := git("init", "-q", "--bare", "."); err != nil {
		return "", err
	}
	ref, want := o.Commit, o.Commit
	if o.Tag != "" {
		ref = "refs/tags/" + o.Tag
		want = "+" + ref + ":" + ref
	}
	if _, err := git("fetch", "-q", "--no-tags", "--depth=1", "--", o.Git, want); err != nil {
		// A plain web server knows no depth.
		if _, err := git("fetch", "-q", "--no-tags", "--", o.Git, want); err != nil {
			return "", err
		}
	}
	got, err := git("rev-parse", "--verify", ref+"^{commit}")
	if err != nil {
		return "", err
	}
	if got != o.Commit {
		return "", fmt.Errorf("%s: got commit %s, want %s", cmp.Or(o.Tag, ref), got, o.Commit)
	}
	prefix := cmp.Or(o.Prefix, strings.TrimSuffix(o.Name(), ".tar.gz")+"/")
	_, err = git("-c", "core.attributesFile=/dev/null", "-c", "core.autocrlf=false", "-c", "core.eol=lf",
		"-c", "tar.umask=0002", "archive", "--format=tar", "--prefix="+prefix, "--output=source.tar",
		cmp.Or(o.Tag, o.Commit))
	if err == nil {
		_, err = say("gzip", "gzip", "-n", "source.tar")
	}
	return filepath.Join(dir, "source.tar.gz"), err
}
