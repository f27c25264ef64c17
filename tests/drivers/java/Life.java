// pgjdbc: server-prepared statements, batches, cursors, CopyManager, savepoints, cancel, many at once.
import java.io.StringReader;
import java.io.StringWriter;
import java.sql.*;
import java.util.*;
import java.util.concurrent.*;
import org.postgresql.PGConnection;

class Life {
    static void check(boolean good, String what) {
        if (!good) throw new AssertionError(what);
    }

    static Connection connect() throws SQLException {
        var env = System.getenv();
        var p = new Properties();
        p.setProperty("user", env.get("PGUSER"));
        p.setProperty("password", env.get("PGPASSWORD"));
        p.setProperty("sslmode", env.get("PGSSLMODE"));
        p.setProperty("sslrootcert", env.get("PGSSLROOTCERT"));
        p.setProperty("prepareThreshold", "2");
        p.setProperty("connectTimeout", "20");
        p.setProperty("socketTimeout", "30");
        return DriverManager.getConnection(
            "jdbc:postgresql://" + env.get("PGHOST") + ":" + env.get("PGPORT") + "/" + env.get("PGDATABASE"), p);
    }

    static void statements(Connection c) throws SQLException {
        try (var s = c.prepareStatement("select ?::int + 1, ?::text")) {
            for (int n = 0; n < 20; n++) {
                s.setInt(1, n);
                s.setString(2, "x" + n);
                var r = s.executeQuery();
                check(r.next() && r.getInt(1) == n + 1 && r.getString(2).equals("x" + n), "statement " + n);
            }
        }
        try (var s = c.createStatement()) {
            check(s.execute("select 1; select 2") && s.getMoreResults(), "two results");
        }
        check(c.getMetaData().getTables(null, "public", "life_jdbc", null).next(), "metadata");
    }

    static void transactions(Connection c) throws SQLException {
        c.setAutoCommit(false);
        try (var s = c.prepareStatement("insert into life_jdbc values (?, ?)")) {
            for (int n = 0; n < 500; n++) {
                s.setInt(1, n);
                s.setString(2, "row " + n);
                s.addBatch();
            }
            check(s.executeBatch().length == 500, "batch");
        }
        var before = c.setSavepoint();
        try (var s = c.createStatement()) {
            s.execute("insert into life_jdbc values (1, 'again')");
            check(false, "no error");
        } catch (SQLException e) {
            check(e.getSQLState().equals("23505"), e.toString());
            c.rollback(before);
        }
        c.commit();
        try (var s = c.prepareStatement("select id from life_jdbc")) {
            s.setFetchSize(50);
            int rows = 0;
            for (var r = s.executeQuery(); r.next(); ) rows++;
            check(rows == 500, "rows by cursor: " + rows);
        }
        c.commit();
        c.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
        c.createStatement().execute("delete from life_jdbc");
        c.rollback();
        c.setAutoCommit(true);
    }

    static void copy(Connection c) throws Exception {
        var copy = c.unwrap(PGConnection.class).getCopyAPI();
        check(copy.copyIn("copy life_jdbc from stdin", new StringReader("1000\tten\n1001\televen\n")) == 2, "copy in");
        var out = new StringWriter();
        check(copy.copyOut("copy life_jdbc to stdout", out) == 502, "copy out");
    }

    static void errorAndCancel(Connection c) throws Exception {
        try (var s = c.createStatement()) {
            s.execute("select 1/0");
            check(false, "no error");
        } catch (SQLException e) {
            check(e.getSQLState().equals("22012"), e.toString());
        }
        try (var s = c.createStatement()) {
            var timer = new Timer(true);
            timer.schedule(new TimerTask() {
                public void run() {
                    try { s.cancel(); } catch (SQLException e) { e.printStackTrace(); }
                }
            }, 300);
            s.execute("select pg_sleep(20)");
            check(false, "not cancelled");
        } catch (SQLException e) {
            check(e.getSQLState().equals("57014"), e.toString());
        }
        try (var s = c.createStatement()) {
            s.setQueryTimeout(1);
            s.execute("select pg_sleep(20)");
            check(false, "no timeout");
        } catch (SQLException e) {
            check(e.getSQLState().equals("57014"), e.toString());
        }
        statements(c);
    }

    static Void oneOfMany(int n) throws SQLException {
        try (var c = connect(); var s = c.prepareStatement("select ? || '-' || current_setting('app.me')")) {
            c.createStatement().execute("set app.me = 'client " + n + "'");
            for (int k = 0; k < 20; k++) {
                s.setString(1, "" + k);
                var r = s.executeQuery();
                check(r.next() && r.getString(1).equals(k + "-client " + n), "client " + n);
            }
        }
        return null;
    }

    public static void main(String[] args) throws Exception {
        try (var c = connect()) {
            c.createStatement().execute("drop table if exists life_jdbc");
            c.createStatement().execute("create table life_jdbc (id int primary key, name text)");
            statements(c);
            transactions(c);
            copy(c);
            errorAndCancel(c);
            c.createStatement().execute("drop table life_jdbc");
        }
        var threads = Executors.newFixedThreadPool(12);
        var all = new ArrayList<Callable<Void>>();
        for (int n = 0; n < 24; n++) {
            int number = n;
            all.add(() -> oneOfMany(number));
        }
        for (var done : threads.invokeAll(all)) done.get();
        threads.shutdown();
    }
}
