//! A tab of the browser: what a person does with it, and what is wrong with what they see.

use super::chromium::Chromium;
use serde_json::{Value, json};
use std::{
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

/// How long something on a page may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is asked of a page by a script in it.
const LOOKS: &str = include_str!("looks.js");

/// How a page is looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Look {
    pub(super) dark: bool,
    /// A telephone.
    pub(super) narrow: bool,
    /// Whether scripts run.
    pub(super) script: bool,
}

impl Look {
    pub(super) const PLAIN: Look = Look { dark: false, narrow: false, script: true };

    pub(super) fn name(self) -> String {
        let part = |is: bool, name: &'static str| if is { name } else { "" };
        let theme = if self.dark { "dark" } else { "light" };
        format!("{theme}{}{}", part(self.narrow, "-narrow"), part(!self.script, "-without-script"))
    }
}

pub(super) struct Tab {
    browser: Chromium,
    origin: String,
    /// What was wrong and may be: answers that are errors on purpose.
    expected: Option<u16>,
}

impl Tab {
    /// Of a server at this address.
    pub(super) fn of(address: &str) -> Tab {
        let mut tab = Tab { browser: Chromium::start(), origin: format!("http://{address}"), expected: None };
        tab.look(Look::PLAIN);
        tab
    }

    pub(super) fn look(&mut self, look: Look) {
        let theme = if look.dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": theme }]);
        self.browser.call("Emulation.setEmulatedMedia", json!({ "features": features }));
        let (width, height) = if look.narrow { (360, 740) } else { (1280, 900) };
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": look.narrow });
        self.browser.call("Emulation.setDeviceMetricsOverride", size);
        self.browser.call("Emulation.setScriptExecutionDisabled", json!({ "value": !look.script }));
    }

    /// Opens a page, which is answered with this.
    pub(super) fn open(&mut self, path: &str, status: u16) {
        self.complaints(path);
        self.expected = (status >= 400).then_some(status);
        let url = format!("{}{path}", self.origin);
        let gone = self.browser.call("Page.navigate", json!({ "url": url }));
        assert!(gone["errorText"].is_null(), "{path}: {gone}");
        self.loaded();
        let answered = self
            .browser
            .events
            .iter()
            .find(|event| event["method"] == "Network.responseReceived" && event["params"]["type"] == "Document");
        let answered = answered.map(|event| event["params"]["response"]["status"].as_f64().unwrap_or_default());
        assert_eq!(answered, Some(f64::from(status)), "{path}");
    }

    /// The next answer is an error, and is meant to be.
    pub(super) fn expect(&mut self, status: u16) {
        self.expected = Some(status);
    }

    /// Answers the question that the page asks; returns it.
    pub(super) fn answer(&mut self, yes: bool) -> String {
        let asked = self.browser.wait("Page.javascriptDialogOpening");
        self.browser.call("Page.handleJavaScriptDialog", json!({ "accept": yes }));
        asked["message"].as_str().unwrap().to_owned()
    }

    /// Waits for the page that something led to.
    pub(super) fn loaded(&mut self) {
        self.browser.wait("Page.loadEventFired");
    }

    /// Loads the page again until it says something.
    pub(super) fn reload_until(&mut self, text: &str) {
        let began = Instant::now();
        while !self.text("body").contains(text) {
            assert!(began.elapsed() < PATIENCE, "waited in vain for {text:?}: {}", self.text("body"));
            thread::sleep(Duration::from_millis(200));
            self.browser.call("Page.reload", json!({}));
            self.loaded();
        }
    }

    /// Waits until the page says something by itself.
    pub(super) fn until(&mut self, text: &str) {
        let began = Instant::now();
        while !self.text("body").contains(text) {
            assert!(began.elapsed() < PATIENCE, "waited in vain for {text:?}: {}", self.text("body"));
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the first such part of the page says just that.
    pub(super) fn until_is(&mut self, query: &str, text: &str) {
        let began = Instant::now();
        let first = format!("document.querySelector({})?.innerText.trim()", json!(query));
        while self.value(&first) != text {
            assert!(began.elapsed() < PATIENCE, "waited in vain for {text:?}: {}", self.text("body"));
            thread::sleep(Duration::from_millis(50));
        }
    }

    pub(super) fn path(&mut self) -> String {
        self.value("location.pathname").as_str().unwrap().to_owned()
    }

    /// What an expression in the page is.
    pub(super) fn value(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "returnByValue": true });
        let told = self.browser.call("Runtime.evaluate", asked);
        assert!(told["exceptionDetails"].is_null(), "{expression}: {told}");
        told["result"]["value"].clone()
    }

    /// What a part of the page says, as it is seen.
    pub(super) fn text(&mut self, query: &str) -> String {
        let text = self.value(&format!("document.querySelector({}).innerText", json!(query)));
        text.as_str().unwrap_or_default().to_owned()
    }

    /// A press of a key, as a person does it.
    pub(super) fn key(&mut self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            "Escape" => (27, ""),
            "ArrowDown" => (40, ""),
            other => (u32::from(other.chars().next().unwrap().to_ascii_uppercase()), other),
        };
        let pressed = json!({
            "type": if text.is_empty() { "rawKeyDown" } else { "keyDown" },
            "key": key, "text": text, "windowsVirtualKeyCode": code,
        });
        self.browser.call("Input.dispatchKeyEvent", pressed);
        let released = json!({ "type": "keyUp", "key": key, "windowsVirtualKeyCode": code });
        self.browser.call("Input.dispatchKeyEvent", released);
    }

    /// Text where the cursor is.
    pub(super) fn write(&mut self, text: &str) {
        self.browser.call("Input.insertText", json!({ "text": text }));
    }

    /// Goes by the Tab key to what answers to a query.
    pub(super) fn tab_to(&mut self, query: &str) {
        let is = format!("document.activeElement.matches({})", json!(query));
        for _ in 0..200 {
            self.key("Tab");
            if self.value(&is) == true {
                return;
            }
        }
        panic!("the Tab key does not lead to {query}");
    }

    /// A click into the middle of it.
    pub(super) fn click(&mut self, query: &str) {
        let at = self.value(&format!(
            "(() => {{ const one = document.querySelector({}); one.scrollIntoView({{ block: 'center' }});
              const at = one.getBoundingClientRect(); return [at.x + at.width / 2, at.y + at.height / 2]; }})()",
            json!(query)
        ));
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1 });
            self.browser.call("Input.dispatchMouseEvent", event);
        }
    }

    /// Keeps a picture of the page under the target folder.
    pub(super) fn picture(&mut self, name: &str) {
        let shot = self.browser.call("Page.captureScreenshot", json!({ "captureBeyondViewport": true }));
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("pages");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{name}.png")), decode(shot["data"].as_str().unwrap())).unwrap();
    }

    /// Holds that nothing is wrong with a page as it is now: how it is made, what of it is legible, what the browser said.
    pub(super) fn check(&mut self, name: &str) {
        let wrong = self.value(LOOKS);
        assert_eq!(wrong, json!([]), "{name}");
        let tree = self.browser.call("Accessibility.getFullAXTree", json!({}));
        for node in tree["nodes"].as_array().unwrap() {
            let role = node["role"]["value"].as_str().unwrap_or_default();
            let named = ["button", "link", "textbox", "searchbox", "combobox", "image", "progressbar", "navigation"];
            let nameless = node["name"]["value"].as_str().unwrap_or_default().trim().is_empty();
            assert!(node["ignored"] == true || !named.contains(&role) || !nameless, "{name}: nameless: {node}");
        }
        self.complaints(name);
    }

    /// Holds that the browser had nothing to complain of since it was last asked, and loaded nothing from elsewhere.
    pub(super) fn complaints(&mut self, name: &str) {
        for event in std::mem::take(&mut self.browser.events) {
            let params = &event["params"];
            match event["method"].as_str().unwrap_or_default() {
                "Runtime.exceptionThrown" | "Audits.issueAdded" => panic!("{name}: {params}"),
                "Runtime.consoleAPICalled" => panic!("{name}: the console: {params}"),
                "Log.entryAdded" => {
                    let entry = &params["entry"];
                    let status = self.expected.map(|status| format!("status of {status} "));
                    let meant = status.is_some_and(|status| entry["text"].as_str().unwrap().contains(&status));
                    let loud = ["warning", "error"].contains(&entry["level"].as_str().unwrap());
                    assert!(!loud || meant, "{name}: {entry}");
                }
                "Network.requestWillBeSent" => {
                    let url = params["request"]["url"].as_str().unwrap();
                    let own = url.starts_with(&format!("{}/", self.origin)) || url.starts_with("data:");
                    assert!(own, "{name}: a request to elsewhere: {url}");
                }
                // One that the page itself broke off, as it was left, is none.
                "Network.loadingFailed" => assert_eq!(params["canceled"], true, "{name}: {params}"),
                _ => {}
            }
        }
    }

    /// Goes through the whole page by the Tab key alone, and holds that everything that can be used is met, in order, and seen
    /// to be.
    pub(super) fn tour(&mut self, name: &str) {
        // A field that asks for the cursor gets it some time after the page is there, and would take it away on the way.
        let began = Instant::now();
        let given = "((field) => !field || field === document.activeElement)(document.querySelector('[autofocus]'))";
        while self.value(given) != true {
            assert!(began.elapsed() < PATIENCE, "{name}: the cursor is not where the page wants it");
            thread::sleep(Duration::from_millis(20));
        }
        let many = self.value(
            "(() => {
              const able = 'a[href], button, input, select, textarea, summary, [tabindex]';
              const seen = (one) => one.checkVisibility({ visibilityProperty: true }) && !one.disabled && one.type !== 'hidden';
              // From the very beginning, wherever the page has put the cursor.
              const begin = document.createElement('span');
              begin.tabIndex = -1;
              document.body.prepend(begin);
              begin.focus();
              begin.remove();
              window.met = [];
              window.able = [...document.querySelectorAll(able)].filter((one) => seen(one) && one.tabIndex >= 0);
              return window.able.length;
            })()",
        );
        for _ in 0..many.as_u64().unwrap() {
            self.key("Tab");
            let wrong = self.value(
                "(() => {
                  const at = document.activeElement;
                  window.met.push(at);
                  const { outlineStyle, outlineWidth } = getComputedStyle(at);
                  const box = at.getBoundingClientRect();
                  if (at === document.body) return 'nothing has the focus';
                  if (outlineStyle === 'none' || parseFloat(outlineWidth) < 1) return `not marked: ${at.outerHTML.slice(0, 200)}`;
                  if (box.width < 2 || box.height < 2) return `too small to be seen: ${at.outerHTML.slice(0, 200)}`;
                  if (box.bottom < 0 || box.top > innerHeight) return `outside: ${at.outerHTML.slice(0, 200)}`;
                  return null;
                })()",
            );
            assert_eq!(wrong, Value::Null, "{name}");
        }
        let missed = self.value(
            "window.able.filter((one, n) => window.met[n] !== one).map((one) => one.outerHTML.slice(0, 200)).slice(0, 3)",
        );
        assert_eq!(missed, json!([]), "{name}: not met in their order");
    }
}

/// Base64, as the browser writes pictures.
fn decode(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let (mut out, mut bits, mut held) = (Vec::with_capacity(text.len() / 4 * 3), 0_u32, 0);
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        bits = bits << 6 | u32::from(digit(byte));
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held & 0xff) as u8);
        }
    }
    out
}
