module drydock

go 1.25.0

tool github.com/magefile/mage

ignore ./vendor-sources

ignore ./build

require (
	aead.dev/minisign v0.3.0
	github.com/CycloneDX/cyclonedx-go v0.12.0
	github.com/ProtonMail/go-crypto v1.5.2
	github.com/bluekeyes/go-gitdiff v0.9.0
	github.com/google/licensecheck v0.3.1
	github.com/hashicorp/go-version v1.9.0
	github.com/magefile/mage v1.17.2
	github.com/opencontainers/go-digest v1.0.0
	github.com/opencontainers/image-spec v1.1.1
	github.com/otiai10/copy v1.14.1
	github.com/pelletier/go-toml/v2 v2.4.3
	github.com/rogpeppe/go-internal v1.16.0
	github.com/santhosh-tekuri/jsonschema/v6 v6.0.3
	github.com/therootcompany/xz v1.0.1
	golang.org/x/mod v0.30.0
	golang.org/x/sys v0.38.0
	golang.org/x/term v0.37.0
	oras.land/oras-go/v2 v2.6.0
)

require (
	github.com/cloudflare/circl v1.6.3 // indirect
	github.com/otiai10/mint v1.6.3 // indirect
	golang.org/x/crypto v0.44.0 // indirect
	golang.org/x/sync v0.18.0 // indirect
	golang.org/x/text v0.31.0 // indirect
	golang.org/x/tools v0.38.0 // indirect
)
