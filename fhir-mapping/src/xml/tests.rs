use super::{format, format_pretty, parse};
use crate::model::{self, Json, Limits, Object};
use crate::validate::structure;

const HEAD: &str = "<Patient xmlns=\"http://hl7.org/fhir\">";

fn json(text: &str) -> Json {
    model::parse(text.replace('\'', "\"").as_bytes(), Limits::default()).unwrap()
}

/// Both ways: `xml` is the inside of a Patient.
#[track_caller]
fn check(xml: &str, expected: &str) {
    let whole = format!("{HEAD}{xml}</Patient>");
    let expected = json(&format!("{{'resourceType':'Patient',{expected}}}"));
    let parsed = parse(whole.as_bytes(), Limits::default()).unwrap();
    assert_eq!(model::format(&parsed), model::format(&expected));
    assert_eq!(format(&expected).unwrap(), whole);
}

/// One way: what XML allows besides.
#[track_caller]
fn check_read(xml: &str, expected: &str) {
    let parsed = parse(xml.as_bytes(), Limits::default()).unwrap();
    assert_eq!(model::format(&parsed), model::format(&json(expected)));
}

/// `Number at expression`.
#[track_caller]
fn check_refused(xml: &str, expected: &str) {
    let issue = parse(xml.as_bytes(), Limits::default()).unwrap_err();
    assert_eq!(
        format!("{} at {}", issue.number, issue.expression),
        expected
    );
}

#[test]
fn elements_are_the_same_in_both_forms() {
    check(
        "<id value=\"a\"/><active value=\"true\"/>",
        "'id':'a','active':true",
    );
    check(
        "<name id=\"n\"><family value=\"Juma\"/><given value=\"A\"/><given value=\"B\"/></name>",
        "'name':[{'id':'n','family':'Juma','given':['A','B']}]",
    );
    check(
        "<deceasedDateTime value=\"2020-01\"/><multipleBirthInteger value=\"2\"/>",
        "'deceasedDateTime':'2020-01','multipleBirthInteger':2",
    );
    check(
        "<contained><Organization><id value=\"o\"/></Organization></contained>",
        "'contained':[{'resourceType':'Organization','id':'o'}]",
    );
}

#[test]
fn numbers_keep_their_text() {
    for text in [
        "1.00",
        "-0.5",
        "1e3",
        "0.10E-7",
        "100000000000000000000.000001",
    ] {
        check(
            &format!("<extension url=\"u\"><valueDecimal value=\"{text}\"/></extension>"),
            &format!("'extension':[{{'url':'u','valueDecimal':{text}}}]"),
        );
    }
}

#[test]
fn primitives_keep_their_ids_and_extensions() {
    check(
        "<birthDate id=\"b\"><extension url=\"u\"><valueCode value=\"unknown\"/></extension></birthDate>",
        "'_birthDate':{'id':'b','extension':[{'url':'u','valueCode':'unknown'}]}",
    );
    check(
        "<name><given id=\"g\"/><given value=\"B\"/><given value=\"C\" id=\"h\"/></name>",
        "'name':[{'given':[null,'B','C'],'_given':[{'id':'g'},null,{'id':'h'}]}]",
    );
    check(
        "<name><given id=\"g\"/></name>",
        "'name':[{'_given':[{'id':'g'}]}]",
    );
}

#[test]
fn any_character_comes_back() {
    let text = "&amp;&lt;&gt;&quot;'&#9;&#10;&#13; e\u{301} \u{1f9ec} \u{5d0}\u{202e}";
    check(
        &format!("<name><text value=\"{text}\"/></name>"),
        "'name':[{'text':'&<>\\\"\\u0027\\t\\n\\r e\u{301} \u{1f9ec} \u{5d0}\u{202e}'}]",
    );
}

#[test]
fn narratives_stay_as_written() {
    check(
        "<text><status value=\"generated\"/><div xmlns=\"http://www.w3.org/1999/xhtml\"><p title='a'>1 &lt; 2&#160;<br /><!-- c --></p></div></text>",
        "'text':{'status':'generated','div':'<div xmlns=\\\"http://www.w3.org/1999/xhtml\\\"><p title=\\u0027a\\u0027>1 &lt; 2&#160;<br /><!-- c --></p></div>'}",
    );
}

#[test]
fn a_narrative_that_is_no_xml_is_shown_as_text() {
    let shown = |div: &str| {
        let mut text = json("{'resourceType':'Patient','text':{'status':'generated','div':''}}");
        let narrative = text.get_mut("text").unwrap().as_object_mut().unwrap();
        narrative.set("div", div.into());
        let xml = format(&text).unwrap();
        let (_, after) = xml.split_once("/>").unwrap();
        parse(xml.as_bytes(), Limits::default()).unwrap();
        after.replace(" xmlns=\"http://www.w3.org/1999/xhtml\"", "")
    };
    let tail = "</text></Patient>";
    assert_eq!(
        shown("<div><p>a</div>"),
        format!("<div>&lt;div&gt;&lt;p&gt;a&lt;/div&gt;</div>{tail}")
    );
    assert_eq!(
        shown("<div>a&nbsp;b</div>"),
        format!("<div>&lt;div&gt;a&amp;nbsp;b&lt;/div&gt;</div>{tail}")
    );
    assert_eq!(shown("<div>a</div>"), format!("<div>a</div>{tail}"));
    assert_eq!(
        shown("<div>a</div><x/>"),
        format!("<div>&lt;div&gt;a&lt;/div&gt;&lt;x/&gt;</div>{tail}")
    );
}

#[test]
fn what_xml_allows_besides_is_understood() {
    let expected = "{'resourceType':'Patient','active':true}";
    check_read(
        "\u{feff}<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- c --><?pi x?>\n<Patient xmlns=\"http://hl7.org/fhir\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:schemaLocation=\"a b\">\n  <active value='true'></active><!-- c -->\n</Patient>\n",
        expected,
    );
    check_read(
        "<f:Patient xmlns:f=\"http://hl7.org/fhir\"><f:active value=\"true\"/></f:Patient>",
        expected,
    );
    check_read(
        "<Patient xmlns=\"http://hl7.org/fhir\"><name><given value=\"a\nb\"/><family value=\"F\"/><given value=\"c\"/></name></Patient>",
        "{'resourceType':'Patient','name':[{'given':['a b','c'],'family':'F'}]}",
    );
}

#[test]
fn namespaces_order_and_references_mean_what_xml_says() {
    for (xml, expected) in [
        // The order of attributes, and of elements of different names, means nothing.
        (
            "<birthDate id=\"b\" value=\"1991\"/><active value=\"true\"/>",
            "'birthDate':'1991','_birthDate':{'id':'b'},'active':true",
        ),
        // A prefix holds inside the element that declares it, and no further.
        (
            "<f:name xmlns:f=\"http://hl7.org/fhir\"><f:text value=\"a\"/></f:name><active value=\"true\"/>",
            "'name':[{'text':'a'}],'active':true",
        ),
        (
            "<name xmlns:unused=\"urn:x\"><text value=\"a\"/></name>",
            "'name':[{'text':'a'}]",
        ),
        // References are replaced once.
        (
            "<name><text value=\"&amp;lt;&#x1F9EC;&#233;&#9;\"/></name>",
            "'name':[{'text':'&lt;\u{1f9ec}é\\t'}]",
        ),
        // Line ends in a value are spaces, as XML normalises them.
        (
            "<name><text value=\"a\r\nb\tc\"/></name>",
            "'name':[{'text':'a b c'}]",
        ),
        (
            "<?pi x?><name><?pi?><text value=\"a\"/><!-- - --></name>",
            "'name':[{'text':'a'}]",
        ),
        (
            "<extension url=\"u\" id=\"e\"><valueDecimal id=\"v\" value=\"0.10\"/></extension>",
            "'extension':[{'url':'u','id':'e','valueDecimal':0.10,'_valueDecimal':{'id':'v'}}]",
        ),
    ] {
        let expected = format!("{{'resourceType':'Patient',{expected}}}");
        check_read(&format!("{HEAD}{xml}</Patient>"), &expected);
    }
}

#[test]
fn what_xml_forbids_or_fhir_has_no_place_for_is_refused() {
    for (inside, expected) in [
        (
            "<active xml:id=\"a\" value=\"true\"/>",
            "E-XML-14 at Patient.active",
        ),
        (
            "<name xml:lang=\"sw\"><text value=\"a\"/></name>",
            "E-XML-14 at Patient.name[0]",
        ),
        ("<active f:value=\"true\"/>", "E-XML-14 at Patient.active"),
        ("<g:active value=\"true\"/>", "E-XML-11 at Patient.active"),
        ("<f:name xmlns:f=\"urn:x\"/>", "E-XML-11 at Patient.name"),
        (
            "<active value=\"true\" value=\"true\"/>",
            "E-XML-7 at Patient",
        ),
        ("<active value=\"a<b\"/>", "E-XML-7 at Patient"),
        ("<active value=\"&#0;\"/>", "E-XML-6 at Patient"),
        ("<active value=\"&#xD800;\"/>", "E-XML-6 at Patient"),
        (
            "<name><![CDATA[Juma]]></name>",
            "E-XML-1 at Patient.name[0]",
        ),
        ("<name>&amp;</name>", "E-XML-1 at Patient.name[0]"),
        ("<name></nam>", "E-XML-3 at Patient.name[0]"),
        (
            "<text><div xmlns=\"http://www.w3.org/1999/xhtml\"><![CDATA[a<b]]></div></text>",
            "E-XML-17 at Patient.text.div",
        ),
        (
            "<text><div xmlns=\"http://www.w3.org/1999/xhtml\"><?pi x?></div></text>",
            "E-XML-17 at Patient.text.div",
        ),
    ] {
        check_refused(&format!("{HEAD}{inside}</Patient>"), expected);
    }
    let utf16: Vec<u8> = "\u{feff}<Patient/>"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let issue = parse(&utf16, Limits::default()).unwrap_err();
    assert_eq!(issue.number, "E-XML-9");
    check_refused(
        "<?xml version=\"1.1\"?><Patient xmlns=\"http://hl7.org/fhir\"/>",
        "E-XML-4 at ",
    );
    check_refused(
        "<Patient xmlns=\"http://hl7.org/fhir\"><?xml version=\"1.0\"?></Patient>",
        "E-XML-4 at Patient",
    );
}

#[test]
fn xml_that_could_harm_is_refused() {
    let laughs = "<!DOCTYPE l [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;\">]><Patient xmlns=\"http://hl7.org/fhir\"><language value=\"&b;\"/></Patient>";
    check_refused(laughs, "E-XML-5 at ");
    let outside = "<!DOCTYPE p [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><Patient/>";
    check_refused(outside, "E-XML-5 at ");
    check_refused(
        &format!("{HEAD}<language value=\"&x;\"/></Patient>"),
        "E-XML-6 at Patient",
    );
    check_refused(&"<a>".repeat(100_000), "E-XML-10 at a");
    let deep = "<extension url=\"u\">".repeat(10_000);
    let issue = parse(format!("{HEAD}{deep}").as_bytes(), Limits::default()).unwrap_err();
    assert_eq!(issue.number, "E-XML-8");
    let wide: String = (0..100_000).map(|i| format!(" a{i}=\"\"")).collect();
    check_refused(&format!("<Patient{wide}/>"), "E-XML-7 at ");
    let markup = "<p>".repeat(100_000);
    check_refused(
        &format!("{HEAD}<text><div xmlns=\"http://www.w3.org/1999/xhtml\">{markup}"),
        "E-XML-8 at Patient.text.div",
    );
}

#[test]
fn what_has_no_place_is_named() {
    check_refused("", "E-XML-3 at ");
    check_refused("{}", "E-XML-1 at ");
    check_refused(HEAD, "E-XML-3 at Patient");
    check_refused(&format!("{HEAD}</Patient><Patient/>"), "E-XML-3 at ");
    check_refused(
        "<?xml version=\"1.0\" encoding=\"latin1\"?><Patient/>",
        "E-XML-4 at ",
    );
    check_refused("<Patient/>", "E-XML-10 at Patient");
    check_refused("<Pet xmlns=\"http://hl7.org/fhir\"/>", "E-XML-10 at Pet");
    for (inside, expected) in [
        ("<actve value=\"true\"/>", "E-XML-11 at Patient.actve"),
        (
            "<active xmlns=\"urn:x\" value=\"true\"/>",
            "E-XML-11 at Patient.active",
        ),
        (
            "<name><id value=\"x\"/></name>",
            "E-XML-11 at Patient.name[0].id",
        ),
        (
            "<active value=\"true\"/><active value=\"true\"/>",
            "E-XML-12 at Patient.active",
        ),
        ("<active/>", "E-XML-13 at Patient.active"),
        ("<active valu=\"true\"/>", "E-XML-14 at Patient.active"),
        ("<name use=\"x\"/>", "E-XML-14 at Patient.name[0]"),
        ("<contained/>", "E-XML-15 at Patient.contained[0]"),
        (
            "<contained><Basic/><Basic/></contained>",
            "E-XML-15 at Patient.contained[0]",
        ),
        ("<name>Juma</name>", "E-XML-1 at Patient.name[0]"),
        ("<text><div>x</div></text>", "E-XML-11 at Patient.text.div"),
        (
            "<text><div xmlns=\"http://www.w3.org/1999/xhtml\">&nbsp;</div></text>",
            "E-XML-6 at Patient.text.div",
        ),
        (
            "<text><h:div xmlns:h=\"http://www.w3.org/1999/xhtml\"/></text>",
            "E-XML-2 at Patient.text.div",
        ),
    ] {
        check_refused(&format!("{HEAD}{inside}</Patient>"), expected);
    }
}

#[test]
fn values_of_the_wrong_kind_are_left_to_validation() {
    let xml =
        format!("{HEAD}<active value=\"maybe\"/><multipleBirthInteger value=\"+2\"/></Patient>");
    let issues = structure(&parse(xml.as_bytes(), Limits::default()).unwrap());
    let places: Vec<_> = issues.iter().map(|i| i.expression.as_str()).collect();
    assert_eq!(places, ["Patient.active", "Patient.multipleBirth"]);
}

#[test]
fn what_r4_does_not_define_has_no_xml() {
    for (text, at) in [
        ("{'resourceType':'Patient','x':1}", "Patient.x"),
        ("{'resourceType':'Pet'}", "Pet"),
        ("{'resourceType':'Patient','name':{}}", "Patient.name"),
        ("{'resourceType':'Patient','active':{}}", "Patient.active"),
    ] {
        assert_eq!(format(&json(text)).unwrap_err().expression, at);
    }
}

#[test]
fn indented_for_people() {
    let patient = json(
        "{'resourceType':'Patient','name':[{'given':['A']}],'contained':[{'resourceType':'Basic','id':'b'}]}",
    );
    insta::assert_snapshot!(format_pretty(&patient).unwrap(), @r#"
    <Patient xmlns="http://hl7.org/fhir">
      <contained>
        <Basic>
          <id value="b"/>
        </Basic>
      </contained>
      <name>
        <given value="A"/>
      </name>
    </Patient>
    "#);
}

/// Members in one order: that of JSON objects means nothing.
fn ordered(value: &Json) -> Json {
    match value {
        Json::Array(items) => Json::Array(items.iter().map(ordered).collect()),
        Json::Object(object) => {
            let mut pairs: Vec<_> = object
                .iter()
                .map(|(k, v)| (k.to_owned(), ordered(v)))
                .collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            Json::Object(pairs.into_iter().collect::<Object>())
        }
        scalar => scalar.clone(),
    }
}

#[test]
fn official_examples_come_back_from_xml() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/r4-examples");
    let Ok(files) = std::fs::read_dir(folder) else {
        eprintln!("skipped: no official examples");
        return;
    };
    let mut seen = 0;
    for file in files {
        let path = file.unwrap().path();
        let before = model::parse(&std::fs::read(&path).unwrap(), Limits::default()).unwrap();
        for write in [format, format_pretty] {
            let xml = write(&before).unwrap_or_else(|issue| panic!("{path:?}: {issue:?}"));
            let after = parse(xml.as_bytes(), Limits::default());
            let after = after.unwrap_or_else(|issue| panic!("{path:?}: {issue:?}"));
            let (before, after) = (ordered(&before), ordered(&after));
            assert!(
                before == after,
                "{path:?}: {}\n{}",
                model::format(&before),
                model::format(&after)
            );
        }
        seen += 1;
    }
    assert!(seen > 600, "{seen} examples");
}
