// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.systemd;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class SocketUnitFilesTest {

  @TempDir private Path directory;

  private Path file(String name, String text) throws IOException {
    Path file = directory.resolve(name);
    Files.createDirectories(file.resolveSibling("x").getParent());
    return Files.writeString(file, text);
  }

  private List<SocketUnit> read() {
    return SocketUnitFiles.read(
        List.of(directory.resolve("etc"), directory.resolve("none"), directory.resolve("lib")));
  }

  private List<String> listens() {
    return read().stream().flatMap(unit -> unit.listens().stream()).toList();
  }

  @Test
  void whatASocketUnitSaysIsRead() throws IOException {
    Path file =
        file(
            "lib/web.socket",
            """
            # ListenStream=1
            [Unit]
            ListenStream=2
            [Socket]
            ; ListenStream=3
            ListenStream = 8080
            ListenDatagram=127.0.0.1:53
            ListenSequentialPacket=[::]:9
            Accept=yes
            Slice=edge.slice
            Service=front.service
            Unknown=1
            [Install]
            ListenStream=4
            """);
    assertThat(read())
        .containsExactly(
            new SocketUnit(
                file.toString(),
                "web.socket",
                Optional.of("front.service"),
                true,
                Optional.of("edge.slice"),
                List.of("8080", "127.0.0.1:53", "[::]:9")));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"/run/web.sock", "@web", "vsock:2:80", "%i", "0", "65536", "[::]", "80%i", "::80"})
  void whatIsNoInternetPortDoesNotCount(String address) throws IOException {
    file("lib/web.socket", "[Socket]\nListenStream=" + address + "\n");
    assertThat(listens()).isEmpty();
  }

  @Test
  void aLineGoesOnAfterABackslash() throws IOException {
    file("lib/web.socket", "[Socket]\nListenStream= \\\n# a comment\n  8080\n");
    assertThat(listens()).containsExactly("8080");
  }

  @Test
  void theFirstDirectoryThatHasAFileWins() throws IOException {
    file("lib/web.socket", "[Socket]\nListenStream=80\n");
    file("etc/web.socket", "[Socket]\nListenStream=81\n");
    assertThat(listens()).containsExactly("81");
  }

  @Test
  void dropInsOfAllDirectoriesComeAfterItByName() throws IOException {
    file("etc/web.socket", "[Socket]\nListenStream=80\n");
    file("lib/web.socket.d/20.conf", "[Socket]\nListenStream=\nListenStream=82\n");
    file("etc/web.socket.d/30.conf", "[Socket]\nListenStream=83\n");
    file("lib/web.socket.d/30.conf", "[Socket]\nListenStream=84\n");
    file("etc/web.socket.d/10.conf", "[Socket]\nListenStream=81\n");
    assertThat(listens()).containsExactly("82", "83");
  }

  @Test
  void aMaskedUnitIsNone() throws IOException {
    file("lib/web.socket", "[Socket]\nListenStream=80\n");
    file("lib/db.socket", "[Socket]\nListenStream=81\n");
    file("etc/db.socket", "");
    Files.createSymbolicLink(directory.resolve("etc/web.socket"), Path.of("/dev/null"));
    assertThat(read()).isEmpty();
  }

  @Test
  void aLinkOfAnotherNameIsTheUnitItLeadsTo() throws IOException {
    Path file = file("lib/web.socket", "[Socket]\nListenStream=80\n");
    Files.createDirectories(directory.resolve("etc"));
    Files.createSymbolicLink(directory.resolve("etc/front.socket"), file);
    Files.createSymbolicLink(directory.resolve("etc/web.socket"), file);
    assertThat(read()).extracting(SocketUnit::name).containsExactly("web.socket");
  }

  @Test
  void aMachineWithoutSystemdHasNone() {
    assertThat(read()).isEmpty();
  }
}
