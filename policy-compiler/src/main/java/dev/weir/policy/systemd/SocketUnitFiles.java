// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.systemd;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Reads the socket units of a machine (systemd.unit(5), systemd.socket(5)): the first directory
 * that has a file of a name wins, {@code NAME.d/*.conf} of all of them come after it, a link to
 * {@code /dev/null} or an empty file masks. A directory that is not there, as on a machine without
 * systemd, has none; a file that cannot be read says nothing.
 */
public final class SocketUnitFiles {

  /** Where systemd looks for the units of the system, first those that win. */
  public static final List<Path> DIRECTORIES =
      List.of(
          Path.of("/etc/systemd/system"),
          Path.of("/run/systemd/system"),
          Path.of("/run/systemd/generator"),
          Path.of("/usr/local/lib/systemd/system"),
          Path.of("/usr/lib/systemd/system"),
          Path.of("/lib/systemd/system"));

  private static final String SUFFIX = ".socket";
  private static final Set<String> LISTEN =
      Set.of("ListenStream", "ListenDatagram", "ListenSequentialPacket");
  private static final Set<String> YES = Set.of("1", "yes", "y", "true", "t", "on");

  /** A port of every address, or of one; not paths, abstract names and {@code vsock:}. */
  private static final Pattern PORT =
      Pattern.compile("(?:(?:\\d{1,3}\\.){3}\\d{1,3}:|\\[[0-9A-Fa-f:.]+(?:%[^]]+)?]:)?(\\d{1,5})");

  private static final int LAST_PORT = 65535;

  private SocketUnitFiles() {}

  /** The socket units of these directories, by name, but for masked ones and other names of one. */
  public static List<SocketUnit> read(List<Path> directories) {
    List<SocketUnit> units = new ArrayList<>();
    for (Path file : firstOfEachName(directories, SUFFIX)) {
      String name = name(file);
      if (name.length() > SUFFIX.length() && !masked(file) && !alias(file)) {
        Settings settings = new Settings();
        lines(file).forEach(settings::line);
        List<Path> dropIns = directories.stream().map(d -> d.resolve(name + ".d")).toList();
        for (Path dropIn : firstOfEachName(dropIns, ".conf")) {
          settings.begin();
          lines(dropIn).forEach(settings::line);
        }
        units.add(settings.unit(file.toString(), name));
      }
    }
    return List.copyOf(units);
  }

  private static Collection<Path> firstOfEachName(List<Path> directories, String suffix) {
    Map<String, Path> first = new TreeMap<>();
    for (Path directory : directories) {
      list(directory, suffix).forEach(file -> first.putIfAbsent(name(file), file));
    }
    return first.values();
  }

  private static List<Path> list(Path directory, String suffix) {
    List<Path> found = new ArrayList<>();
    try (DirectoryStream<Path> files = Files.newDirectoryStream(directory, "*" + suffix)) {
      files.forEach(found::add);
    } catch (IOException | DirectoryIteratorException e) {
      return found; // not there, or not to be read
    }
    return found;
  }

  private static String name(Path file) {
    return String.valueOf(file.getFileName());
  }

  private static boolean masked(Path file) {
    try {
      return Files.size(file) == 0; // /dev/null too
    } catch (IOException e) {
      return true; // a link to nothing
    }
  }

  /** Another name of a unit, which is there under its own. */
  private static boolean alias(Path file) {
    try {
      return Files.isSymbolicLink(file)
          && !name(file).equals(name(Files.readSymbolicLink(file)))
          && name(file.toRealPath()).endsWith(SUFFIX);
    } catch (IOException e) {
      return true;
    }
  }

  /** systemd.syntax(7): a backslash at the end goes on, comments in between do not count. */
  private static List<String> lines(Path file) {
    List<String> lines = new ArrayList<>();
    StringBuilder line = new StringBuilder();
    try {
      for (String read : Files.readAllLines(file, StandardCharsets.ISO_8859_1)) {
        String text = read.strip();
        if (text.startsWith("#") || text.startsWith(";")) {
          continue;
        }
        if (text.endsWith("\\")) {
          line.append(text, 0, text.length() - 1).append(' ');
        } else {
          lines.add(line.append(text).toString());
          line.setLength(0);
        }
      }
      lines.add(line.toString());
    } catch (IOException e) {
      lines.clear(); // says nothing
    }
    return lines;
  }

  /** What was set so far. */
  private static final class Settings {
    private final List<String> listens = new ArrayList<>();
    private Optional<String> service = Optional.empty();
    private Optional<String> slice = Optional.empty();
    private boolean accept;
    private boolean ours;

    /** Another file, before its first section. */
    void begin() {
      ours = false;
    }

    void line(String line) {
      if (line.startsWith("[")) {
        ours = line.strip().equals("[Socket]");
        return;
      }
      int equals = line.indexOf('=');
      if (!ours || equals < 0) {
        return;
      }
      String value = line.substring(equals + 1).strip();
      String key = line.substring(0, equals).strip();
      if (key.startsWith("Listen") && value.isEmpty()) {
        listens.clear(); // whatever it listened on so far
      } else if (LISTEN.contains(key) && isPort(value)) {
        listens.add(value);
      } else if (key.equals("Service") && !value.isEmpty()) {
        service = Optional.of(value);
      } else if (key.equals("Slice")) {
        slice = Optional.of(value).filter(s -> !s.isEmpty());
      } else if (key.equals("Accept")) {
        accept = YES.contains(value.toLowerCase(Locale.ROOT));
      }
    }

    private static boolean isPort(String value) {
      Matcher port = PORT.matcher(value);
      if (!port.matches()) {
        return false;
      }
      int number = Integer.parseInt(port.group(1));
      return number > 0 && number <= LAST_PORT;
    }

    SocketUnit unit(String file, String name) {
      return new SocketUnit(file, name, service, accept, slice, listens);
    }
  }
}
