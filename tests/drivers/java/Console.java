// pgjdbc at the console: statements of both kinds, metadata of results, actions, errors.
import java.sql.*;
import java.util.*;

class Console {
    static void check(boolean good, String what) {
        if (!good) throw new AssertionError(what);
    }

    static Connection connect(String database, String mode) throws SQLException {
        var env = System.getenv();
        var p = new Properties();
        p.setProperty("user", env.get("PGUSER"));
        p.setProperty("password", env.get("PGPASSWORD"));
        p.setProperty("sslmode", env.get("PGSSLMODE"));
        p.setProperty("sslrootcert", env.get("PGSSLROOTCERT"));
        p.setProperty("ApplicationName", "judge");
        p.setProperty("preferQueryMode", mode);
        p.setProperty("prepareThreshold", "2");
        p.setProperty("socketTimeout", "30");
        return DriverManager.getConnection(
            "jdbc:postgresql://" + env.get("PGHOST") + ":" + env.get("PGPORT") + "/" + database, p);
    }

    static void look(Connection c) throws SQLException {
        try (var s = c.prepareStatement("SHOW POOLS")) {
            // Often enough that the driver prepares it, and asks for binary values.
            for (int n = 0; n < 5; n++) {
                boolean found = false;
                for (var r = s.executeQuery(); r.next(); ) {
                    check(r.getLong("sv_login") >= 0 && r.getLong("maxwait_us") >= 0, "numbers");
                    found |= r.getString("database").equals("postgres") && r.getInt("cl_active") == 1;
                }
                check(found, "the pool, " + n);
            }
        }
        try (var s = c.createStatement(); var r = s.executeQuery("SHOW CLIENTS")) {
            var columns = r.getMetaData();
            check(columns.getColumnTypeName(1).equals("text"), "type of a column");
            boolean found = false;
            while (r.next()) {
                found |= "judge".equals(r.getString("application_name"));
                r.getDouble("xact_age");
            }
            check(found, "the client that named itself");
        }
    }

    static void act(Connection c) throws SQLException {
        try (var s = c.createStatement()) {
            check(!s.execute("PAUSE postgres"), "no result");
            var r = s.executeQuery("SHOW DATABASES");
            int paused = 0;
            while (r.next()) if (r.getString("name").equals("postgres")) paused = r.getInt("paused");
            check(paused == 1, "paused");
            s.execute("RESUME postgres");
            s.execute("RELOAD");
            s.execute("SHOW NOTHING");
            check(false, "no error");
        } catch (SQLException e) {
            check("42601".equals(e.getSQLState()), e.toString());
        }
        check(c.isValid(5), "still there");
    }

    public static void main(String[] args) throws SQLException {
        try (var client = connect("postgres", "extended")) {
            client.createStatement().execute("select 1");
            for (var mode : List.of("extended", "simple", "extendedForPrepared", "extendedCacheEverything")) {
                try (var c = connect("pgweir", mode)) {
                    look(c);
                    act(c);
                }
            }
            try (var c = connect("pgbouncer", "extended")) {
                c.setAutoCommit(false);
                look(c);
                c.commit();
                c.setReadOnly(true);
                look(c);
                c.rollback();
            }
        }
    }
}
