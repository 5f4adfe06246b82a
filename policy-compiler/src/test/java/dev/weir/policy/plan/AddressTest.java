// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import static org.assertj.core.api.Assertions.assertThat;

import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class AddressTest {

  @ParameterizedTest
  @CsvSource({
    "10.0.0.1, 10.0.0.1",
    "255.255.255.255, 255.255.255.255",
    "::1, ::1",
    "FD00:96::0010, fd00:96::10",
    "::ffff:10.0.0.1, 10.0.0.1",
    "2001:db8:0:0:1:0:0:1, 2001:db8::1:0:0:1",
  })
  void textIsReadAndWrittenInOneForm(String text, String canonical) {
    assertThat(Address.parse(text)).hasValueSatisfying(a -> assertThat(a).hasToString(canonical));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "10.0.0",
        "10.0.0.256",
        "010.0.0.1",
        "10.0.0.1.",
        "1",
        "localhost",
        "fe80::1%eth0",
        ":::",
        "1::2::3",
        "10.0.0.1/8",
        "a.b.c.d"
      })
  void whatIsNoAddressIsNotRead(String text) {
    assertThat(Address.parse(text)).isEmpty();
  }

  @Property
  void everyAddressReadsItsOwnText(@ForAll long high, @ForAll long low) {
    Address address = new Address(high, low);
    assertThat(Address.parse(address.toString())).contains(address);
  }

  @Property
  void aPrefixKeepsItsBitsAndClearsTheRest(
      @ForAll long high, @ForAll long low, @ForAll @IntRange(max = 128) int length) {
    byte[] whole = new Address(high, low).bytes();
    byte[] prefix = new Address(high, low).prefix(length).bytes();
    for (int bit = 0; bit < 128; bit++) {
      int mask = 0x80 >>> bit % 8;
      int expected = bit < length ? whole[bit / 8] & mask : 0;
      assertThat(prefix[bit / 8] & mask).isEqualTo(expected);
    }
  }
}
