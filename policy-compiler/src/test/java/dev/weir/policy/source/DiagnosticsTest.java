// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.source;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.EnumSource.Mode;

/** How bad a finding is for what the files are read for. */
class DiagnosticsTest {

  private static Diagnostics unserved(Purpose purpose) {
    Diagnostics diagnostics = new Diagnostics(purpose);
    diagnostics.unserved(new Position("f.yaml", 3, 1), "spec.mirror", "is not served yet");
    return diagnostics;
  }

  @Test
  void whatIsNotServedYetIsNotPutInForce() {
    assertThat(unserved(Purpose.ENFORCE).failed()).isTrue();
  }

  @ParameterizedTest
  @EnumSource(mode = Mode.EXCLUDE, names = "ENFORCE")
  void whatIsNotServedYetCanBeAskedAbout(Purpose purpose) {
    assertThat(unserved(purpose).failed()).isFalse();
    assertThat(unserved(purpose).warnings())
        .singleElement()
        .satisfies(w -> assertThat(w.remedy()).contains("apply refuses it"));
  }
}
