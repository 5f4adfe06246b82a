// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.tls;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Collections;
import java.util.List;
import java.util.Optional;
import javax.security.auth.x500.X500Principal;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What a certificate may hold, and what backends read of it. */
final class ForwardedCertificateTest {

  private static String value(String subject, List<String> uris, List<String> dnsNames) {
    return ForwardedCertificate.value(
        Optional.empty(), "0a", new X500Principal(subject), uris, dnsNames);
  }

  @Test
  void whoItWasShownToIsToldFirst() {
    assertThat(
            ForwardedCertificate.value(
                Optional.of("spiffe://d/ns/a/sa/b"),
                "0a",
                new X500Principal("CN=x"),
                List.of(),
                List.of()))
        .isEqualTo("By=spiffe://d/ns/a/sa/b;Hash=0a;Subject=\"CN=x\";URI=");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "spiffe://d/ns/a/sa/b | spiffe://d/ns/a/sa/b",
        "spiffe://d/x,URI=spiffe://d/y | \"spiffe://d/x,URI=spiffe://d/y\"",
        "spiffe://d/x;By=y | \"spiffe://d/x;By=y\"",
        "https://d/?a=\"b\\ | \"https://d/?a=%22b%5C\"",
        "spiffe://d/a b | spiffe://d/a%20b",
      })
  void nothingInANameEndsIt(String uri, String told) {
    assertThat(value("CN=x", List.of(uri), List.of()))
        .isEqualTo("Hash=0a;Subject=\"CN=x\";URI=" + told);
  }

  @Test
  void lineBreaksAndOtherBytesAreNoneInTheHeader() {
    assertThat(value("CN=x", List.of("a\r\nb\u0000"), List.of("\u00e4.test")))
        .isEqualTo("Hash=0a;Subject=\"CN=x\";URI=a%0D%0Ab%00;DNS=%C3%A4.test");
    assertThat(value("CN=a\\0D\\0Ab\\C3\\A4", List.of(), List.of()))
        .matches("[ -~]*")
        .contains("CN=a\\0D\\0Ab\\C3\\A4");
  }

  @Test
  void aSubjectEndsWhereItEnds() {
    assertThat(value("CN=a\\\\", List.of("u:1"), List.of()))
        .isEqualTo("Hash=0a;Subject=\"CN=a\\5C\";URI=u:1");
    assertThat(value("CN=\\\"\\;URI\\=x\\\\\\\"", List.of("u:1"), List.of()))
        .isEqualTo("Hash=0a;Subject=\"CN=\\\"\\;URI\\=x\\5C\\\"\";URI=u:1");
  }

  @Test
  void everyUriAndDnsNameIsTold() {
    assertThat(value("CN=x", List.of("u:1", "u:2"), List.of("a.test", "*.b.test")))
        .isEqualTo("Hash=0a;Subject=\"CN=x\";URI=u:1;URI=u:2;DNS=a.test;DNS=*.b.test");
  }

  @Test
  void whatIsTooLongForAHeaderIsToldByItsHash() {
    assertThat(value("CN=x", List.of(), Collections.nCopies(400, "a-long-name.example.test")))
        .isEqualTo("Hash=0a");
  }
}
