// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.systemd;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.Analysis;
import dev.weir.policy.Compilation;
import dev.weir.policy.PolicyCompiler;
import dev.weir.policy.source.Diagnostic;
import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.Purpose;
import dev.weir.policy.source.SourceTree;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

final class SocketActivationTest {

  private static final SocketUnit WEB = unit("web.socket", Optional.empty());

  private static SocketUnit unit(String name, Optional<String> service) {
    return new SocketUnit("/u/" + name, name, service, false, Optional.empty(), List.of("8080"));
  }

  private static List<String> warnings(String spec, SocketUnit... units) {
    return warnings("", spec, units);
  }

  private static List<String> warnings(String annotations, String spec, SocketUnit... units) {
    Analysis analysis =
        PolicyCompiler.checkAnalysis(
            SourceTree.of(
                "f.yaml",
                "apiVersion: weir.dev/v1alpha1\nkind: Workload\nmetadata: {name: web, annotations:"
                    + " {"
                    + annotations
                    + "}}\nspec: {"
                    + spec
                    + "}\n"));
    assertThat(analysis.compilation()).isInstanceOf(Compilation.Compiled.class);
    assertThat(analysis.compilation().warnings()).isEmpty();
    Diagnostics diagnostics = new Diagnostics(Purpose.CHECK);
    SocketActivation.check(analysis.cluster().workloads(), List.of(units), diagnostics);
    return diagnostics.warnings().stream().map(Diagnostic::toString).toList();
  }

  @Test
  void aWorkloadWhoseSocketUnitIsNotNamedIsToldWhereAndWhatToWrite() {
    assertThat(warnings("systemdUnit: web.service, ports: [{port: 8080}]", WEB))
        .containsExactly(
            "f.yaml:4:21: spec.systemdUnit: /u/web.socket listens on 8080 for web.service, in the"
                + " cgroup /system.slice/web.socket, which is not this workload's: a port of its"
                + " own is refused to that socket, and what comes in by it is not judged for the"
                + " workload (write systemdSockets: [web.socket], or disable and mask that unit if"
                + " it is not in use) [unnamed-socket]");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "systemdUnit: web.service, systemdSockets: [web.socket]",
        "systemdUnit: system.slice",
        "systemdUnit: other.service",
        "systemdUnit: web.scope",
        "systemdUnit: web@1.service",
        "cgroup: /user.slice/user-1000.slice/user@1000.service/app.slice/web.service",
        "address: 10.0.0.1"
      })
  void nothingIsSaidOfWhoNamesItOrHasNone(String spec) {
    assertThat(warnings(spec, WEB)).isEmpty();
  }

  @Test
  void aUnitWithoutInternetPortsIsNothing() {
    assertThat(
            warnings(
                "systemdUnit: web.service",
                new SocketUnit(
                    "f", "web.socket", Optional.empty(), false, Optional.empty(), List.of())))
        .isEmpty();
  }

  @ParameterizedTest
  @CsvSource({
    "web.service, web.socket, , false, web.socket",
    "web.service, front.socket, web.service, false, front.socket",
    "web@1.service, web@1.socket, , false, web@1.socket",
    "web@1.service, web@.socket, , false, web@1.socket",
    "web@1.service, web.socket, , true, web.socket"
  })
  void theUnitThatStartsAServiceIsFound(
      String service, String socket, String named, boolean accept, String remedy) {
    SocketUnit unit =
        new SocketUnit(
            "f",
            socket,
            Optional.ofNullable(named),
            accept,
            Optional.empty(),
            List.of("[::]:8080"));
    assertThat(warnings("systemdUnit: " + service, unit))
        .singleElement()
        .asString()
        .contains("write systemdSockets: [" + remedy + "]");
    assertThat(warnings("systemdUnit: " + service + ", systemdSockets: [" + remedy + "]", unit))
        .isEmpty();
  }

  @ParameterizedTest
  @CsvSource({
    "web.service, web.socket, front.service, false",
    "web.service, web.socket, , true",
    "web.service, web@.socket, , false"
  })
  void aUnitThatStartsAnotherServiceIsNot(
      String service, String socket, String named, boolean accept) {
    assertThat(
            warnings(
                "systemdUnit: " + service,
                new SocketUnit(
                    "f",
                    socket,
                    Optional.ofNullable(named),
                    accept,
                    Optional.empty(),
                    List.of("8080"))))
        .isEmpty();
  }

  @Test
  void theOneThatIsMissingIsAddedToThoseThatAreNamed() {
    SocketUnit second = unit("web-tls.socket", Optional.of("web.service"));
    assertThat(warnings("systemdUnit: web.service, systemdSockets: [web.socket]", WEB, second))
        .singleElement()
        .asString()
        .contains("write systemdSockets: [web.socket, web-tls.socket]");
  }

  @Test
  void theSliceOfASocketUnitIsItsOwn() {
    SocketUnit unit =
        new SocketUnit(
            "f",
            "web.socket",
            Optional.empty(),
            false,
            Optional.of("edge-in.slice"),
            List.of("8080"));
    assertThat(
            warnings(
                "systemdUnit: web.service, slice: edge-in.slice, systemdSockets: [web.socket]",
                unit))
        .singleElement()
        .asString()
        .contains(
            "the cgroup /edge.slice/edge-in.slice/web.socket",
            "write systemdSockets: [web.socket], socketSlice: edge-in.slice");
    assertThat(
            warnings(
                "systemdUnit: web.service, systemdSockets: [web.socket], socketSlice:"
                    + " edge-in.slice",
                unit))
        .isEmpty();
  }

  @Test
  void aWorkloadOfOneServiceForEachConnectionIsTheirSlice() {
    SocketUnit unit =
        new SocketUnit(
            "f", "my-web.socket", Optional.empty(), true, Optional.empty(), List.of("8080"));
    String slice = "systemdUnit: 'system-my\\x2dweb.slice'";
    assertThat(warnings("cgroup: '/system.slice/system-my\\x2dweb.slice'", unit))
        .singleElement()
        .asString()
        .contains("write systemdSockets: [my-web.socket]");
    assertThat(warnings(slice + ", systemdSockets: [my-web.socket]", unit)).isEmpty();
  }

  @Test
  void anAnnotationSaysThatItIsMeant() {
    assertThat(warnings("weir.dev/lint-ignore: unnamed-socket", "systemdUnit: web.service", WEB))
        .isEmpty();
  }
}
