// Go's verdict on a certificate chain: chains ANCHORS CHAIN. Exits with 1 and the reason if it is refused.
package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
)

func load(path string) []*x509.Certificate {
	octets, err := os.ReadFile(path)
	check(err)
	var found []*x509.Certificate
	for block, rest := pem.Decode(octets); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		check(err)
		found = append(found, certificate)
	}
	return found
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func pool(certificates []*x509.Certificate) *x509.CertPool {
	made := x509.NewCertPool()
	for _, certificate := range certificates {
		made.AddCert(certificate)
	}
	return made
}

func main() {
	chain := load(os.Args[2])
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots:         pool(load(os.Args[1])),
		Intermediates: pool(chain[1:]),
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	check(err)
}
